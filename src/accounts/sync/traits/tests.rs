//! What an account says, and what of it is written.

use serde_json::json;

use super::*;

fn map(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

#[test]
fn an_account_says_the_documented_names_behind_the_prefix() {
    let account = json!({
        "metrics": {
            "engagement_score": "75.5", "raw_score": 2150, "activation_rate": null, "active_users": "many",
            "first_seen": "2023-01-15", "last_seen": 5, "total_people_count": 18, "owner_name": "no trait",
        },
        "segments": [{"id": 1, "name": "Power"}, "At risk"],
        "insights": {"summary": "Good.", "recommendations": ["Call.", "Train."]},
    });
    let wanted = wanted(&account, "x_", true);
    let expected = json!({
        "x_engagement_score": 75.5, "x_raw_score": 2150, "x_activation_rate": null, "x_first_seen": "2023-01-15",
        "x_total_people_count": 18, "x_segments": "At risk, Power",
        "x_insights": "recommendations: Call.\nrecommendations: Train.\nsummary: Good.",
    });
    assert_eq!((Value::Object(wanted.traits), wanted.warnings.len()), (expected, 2));
    let large = json!({"insights": "x".repeat(2 << 20), "segments": []});
    let wanted = super::wanted(&large, "", true);
    assert_eq!((Value::Object(wanted.traits), wanted.warnings.len()), (json!({"segments": null}), 1));
    assert_eq!(super::wanted(&large, "", false).traits.len(), 1, "insights only if asked for");
    let failed = json!({"segments": [], "insights": null, "_expansions": {"error": "too slow"}});
    let wanted = super::wanted(&failed, "", true);
    assert_eq!(
        (wanted.traits.len(), wanted.warnings.len()),
        (0, 1),
        "what could not be expanded is not empty"
    );
}

#[test]
fn only_what_differs_is_written_and_only_ours_is_cleared() {
    let current = map(json!({
        "number": "75.50", "date": "2023-01-15T00:00:00.000Z", "text": "old", "ours": 1, "theirs": 2, "null": null,
    }));
    let traits = map(json!({
        "number": 75.5, "date": "2023-01-15", "text": "new", "ours": null, "theirs": null, "null": null, "more": 1,
    }));
    let written = map(json!({"ours": "1.0", "theirs": 1, "date": "2023-01-15"}));
    let difference = difference(&current, WantedTraits { traits, warnings: Vec::new() }, &written);
    assert_eq!(Value::Object(difference.changed), json!({"text": "new", "ours": null, "more": 1}));
    assert_eq!(Value::Object(difference.before), json!({"text": "old", "ours": 1}));
    assert_eq!(Value::Object(difference.found), json!({"number": 75.5}), "it counts as written from now on");
    assert_eq!(difference.warnings, ["theirs was not cleared: the relay did not write its value"]);
}
