//! An account as Accoil's read API returns it: every documented field is typed, the others are kept.
//!
//! Dates are text, `2023-01-15`. The three expansions are not documented, so they are kept as they are. A field of a wrong
//! type is read as absent and does not fail the account. The caller must check that it is the account that was looked up.

use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::super::lenient;

/// One account.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Account {
    /// Accoil's own id. A number is read as its digits.
    #[serde(default, deserialize_with = "lenient::text")]
    pub id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub domain: Option<String>,
    /// The id under which the account was sent: the `groupId` of group calls.
    #[serde(default, deserialize_with = "lenient::text")]
    pub tracking_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::object")]
    pub metrics: Metrics,
    /// Only if requested.
    pub insights: Option<Value>,
    /// Only if requested.
    pub traits: Option<Value>,
    /// Only if requested.
    pub segments: Option<Value>,
    #[serde(rename = "_expansions", default, deserialize_with = "lenient::object")]
    pub expansions: Option<Expansions>,
    #[serde(rename = "_links")]
    pub links: Option<Value>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What Accoil computed for the account.
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
    /// From 0 to 1.
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

/// Accoil's remarks on the `expand` parameter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Expansions {
    #[serde(default, deserialize_with = "lenient::list")]
    pub available: Vec<Value>,
    pub documentation: Option<Value>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub unknown_parameters: Vec<Value>,
    pub error: Option<Value>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Each case has one odd field: the account is read all the same, and its name with it.
    #[test]
    fn an_odd_field_does_not_fail_the_account() {
        for (odd, id, score, available) in [
            (json!({"id": "456", "metrics": {"engagement_score": 75.5}}), "456", Some(75.5), 0),
            (json!({"id": 456}), "456", None, 0),
            (json!({"id": 456.0}), "456", None, 0),
            (json!({"id": null, "domain": ["a"], "tracking_id": {}}), "", None, 0),
            (json!({"id": "4", "metrics": null}), "4", None, 0),
            (json!({"id": "4", "metrics": [1, 2]}), "4", None, 0),
            (json!({"id": "4", "metrics": "none yet"}), "4", None, 0),
            (
                json!({"id": "4", "metrics": {"engagement_score": " 75.5 ", "last_seen": 5}}),
                "4",
                Some(75.5),
                0,
            ),
            (json!({"id": "4", "metrics": {"engagement_score": "high", "owner_name": {}}}), "4", None, 0),
            (json!({"id": "4", "_expansions": null, "_links": null}), "4", None, 0),
            (json!({"id": "4", "_expansions": {"available": null, "unknown_parameters": 7}}), "4", None, 0),
            (json!({"id": "4", "_expansions": {"available": ["traits"], "error": null}}), "4", None, 1),
            (
                json!({"id": "4", "_expansions": [], "insights": 1, "traits": null, "segments": {}}),
                "4",
                None,
                0,
            ),
        ] {
            let mut body = odd.clone();
            body["name"] = json!("TechCorp");
            let account: Account = serde_json::from_str(&body.to_string()).unwrap();
            assert_eq!(account.name.as_deref(), Some("TechCorp"), "{odd}");
            assert_eq!(account.id.unwrap_or_default(), id, "{odd}");
            assert_eq!(account.metrics.engagement_score.and_then(|score| score.as_f64()), score, "{odd}");
            assert_eq!(account.expansions.map_or(0, |found| found.available.len()), available, "{odd}");
        }
    }
}
