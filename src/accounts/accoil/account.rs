//! An account as Accoil's read API gives it: every documented field (`seeds/accoil-get-accounts.txt`), the others kept.
//!
//! Dates are text as Accoil writes them, `2023-01-15`. The bodies of the three expansions are not documented: what came
//! is kept as it is.

use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::super::lenient;

/// One account.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Account {
    /// Accoil's own id; a number is taken as its digits.
    #[serde(default, deserialize_with = "lenient::text")]
    pub id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub domain: Option<String>,
    /// The id under which it was sent: the `groupId` of group calls (`facts/accoil.md` 5.2).
    #[serde(default, deserialize_with = "lenient::text")]
    pub tracking_id: Option<String>,
    #[serde(default)]
    pub metrics: Metrics,
    /// Only if asked for.
    pub insights: Option<Value>,
    /// Only if asked for.
    pub traits: Option<Value>,
    /// Only if asked for.
    pub segments: Option<Value>,
    #[serde(rename = "_expansions")]
    pub expansions: Option<Expansions>,
    #[serde(rename = "_links")]
    pub links: Option<Value>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What Accoil has worked out about the account.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Metrics {
    #[serde(default, deserialize_with = "lenient::number")]
    pub engagement_score: Option<Number>,
    #[serde(default, deserialize_with = "lenient::number")]
    pub raw_score: Option<Number>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub owner_name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub first_seen: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub last_seen: Option<String>,
    #[serde(default, deserialize_with = "lenient::number")]
    pub active_users: Option<Number>,
    /// Between 0 and 1 in the seed.
    #[serde(default, deserialize_with = "lenient::number")]
    pub activation_rate: Option<Number>,
    #[serde(default, deserialize_with = "lenient::number")]
    pub overall_scored_events: Option<Number>,
    #[serde(default, deserialize_with = "lenient::number")]
    pub recently_scored_events: Option<Number>,
    #[serde(default, deserialize_with = "lenient::number")]
    pub scoring_profile_events: Option<Number>,
    #[serde(default, deserialize_with = "lenient::number")]
    pub total_people_count: Option<Number>,
    #[serde(default, deserialize_with = "lenient::number")]
    pub total_active_people_count: Option<Number>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What Accoil says of the `expand` parameter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Expansions {
    #[serde(default)]
    pub available: Vec<Value>,
    pub documentation: Option<Value>,
    #[serde(default)]
    pub unknown_parameters: Vec<Value>,
    pub error: Option<Value>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}
