//! An account as Accoil's read API gives it: every documented field, the others kept.
//!
//! Dates are text as Accoil writes them, `2023-01-15`. The bodies of the three expansions are not documented: what came
//! is kept as it is. An odd field is absent and never costs its account. Whether it is the account that was asked for
//! is for the caller to look at: its domain or name is Accoil's to match.

use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::super::lenient;

/// One account.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Account {
    /// Accoil's own id; a number is taken as its digits.
    #[serde(default, deserialize_with = "lenient::text")]
    pub id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub domain: Option<String>,
    /// The id under which it was sent: the `groupId` of group calls.
    #[serde(default, deserialize_with = "lenient::text")]
    pub tracking_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::object")]
    pub metrics: Metrics,
    /// Only if asked for.
    pub insights: Option<Value>,
    /// Only if asked for.
    pub traits: Option<Value>,
    /// Only if asked for.
    pub segments: Option<Value>,
    #[serde(rename = "_expansions", default, deserialize_with = "lenient::object")]
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
    /// Between 0 and 1.
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

    /// One odd field a line: the account is read, the field is what can be made of it, the name beside it stays.
    #[test]
    fn an_odd_field_never_costs_its_account() {
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
