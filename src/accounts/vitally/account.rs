//! An account as Vitally returns it: every documented attribute is typed, the others are kept.
//!
//! Nearly all attributes may be null. Times are ISO 8601 text. A trait's key is flat: a dot in it has no meaning.

use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::super::lenient;

/// One account.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Account {
    /// Vitally's own id.
    #[serde(deserialize_with = "lenient::text")]
    pub id: Option<String>,
    /// The id that the workspace's owner gave the account; may be missing.
    #[serde(deserialize_with = "lenient::text")]
    pub external_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub name: Option<String>,
    #[serde(deserialize_with = "lenient::map")]
    pub traits: Map<String, Value>,
    #[serde(deserialize_with = "lenient::text")]
    pub created_at: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub updated_at: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub organization_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub account_owner_id: Option<String>,
    /// As Vitally sent it: a number, text or null.
    pub mrr: Option<Value>,
    #[serde(deserialize_with = "lenient::text")]
    pub next_renewal_date: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub churned_at: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub first_seen_timestamp: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub last_seen_timestamp: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub last_inbound_message_timestamp: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub last_outbound_message_timestamp: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub trial_end_date: Option<String>,
    #[serde(deserialize_with = "lenient::number")]
    pub users_count: Option<Number>,
    #[serde(deserialize_with = "lenient::number")]
    pub nps_detractor_count: Option<Number>,
    #[serde(deserialize_with = "lenient::number")]
    pub nps_passive_count: Option<Number>,
    #[serde(deserialize_with = "lenient::number")]
    pub nps_promoter_count: Option<Number>,
    /// From -100 to 100.
    #[serde(deserialize_with = "lenient::number")]
    pub nps_score: Option<Number>,
    /// From 0 to 10.
    #[serde(deserialize_with = "lenient::number")]
    pub health_score: Option<Number>,
    #[serde(deserialize_with = "lenient::text")]
    pub csm_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub account_executive_id: Option<String>,
    pub key_roles: Option<Value>,
    pub segments: Option<Value>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}
