//! The configuration of the syncs: its effect on the wire, and which configurations are refused.

use accoil_relay::sandbox::Options;
use serde_json::json;

use super::{BOTH, Place, TO_ACCOIL, TO_VITALLY, counts};

async fn place(more: &str) -> Place {
    Place::new(Options::default(), &format!("{BOTH}{more}")).await
}

/// Other traits for plan and status, another word for churned, Vitally's mrr in cents, and only one destination.
#[tokio::test]
async fn vitally_to_accoil_follows_the_configuration() {
    let place = place(
        r#"
[[destinations]]
name = "other"
api_key = "other-key"
base_url = "${SANDBOX}"

[vitally_to_accoil]
destinations = ["other"]
mrr_unit = "cents"
plan_trait = "hspot.tier"
status_trait = "stage"
churned_status = "gone"
traits = ["industry", "hspot.city", "not there"]
"#,
    )
    .await;
    place.change_vitally("ext-12345", |account| {
        account["traits"]["hspot.tier"] = json!("gold");
        account["traits"]["stage"] = json!("live");
    });
    assert_eq!(counts(&place.synced(&[TO_ACCOIL]).await), [11, 0, 0, 0, 1, 0]);
    let keys = place.sandbox().received().into_iter().map(|call| call.api_key.unwrap());
    assert!(keys.into_iter().all(|key| key == "other-key"));
    let groups = place.groups();
    let traits = |group: &str| groups[group][0]["traits"].clone();
    let created = place.vitally("ext-12345")["createdAt"].clone();
    assert_eq!(
        traits("ext-12345"),
        json!({"name": "TechCorp Solutions", "createdAt": created, "plan": "gold", "status": "live", "mrr": 4200,
            "industry": "Software", "hspot.city": "Austin"})
    );
    assert_eq!(traits("ext-12349")["status"], "gone");
    assert_eq!(traits("ext-12349")["plan"], json!(null));
}

/// The unit of Vitally's mrr cannot be detected, so a configuration without it gets a warning.
#[tokio::test]
async fn mrr_is_sent_with_a_warning_unless_its_unit_is_configured() {
    for (stated, warnings) in [("", 1), ("[vitally_to_accoil]\nmrr_unit = \"dollars\"\n", 0)] {
        let run = place(stated).await.sync(&[TO_ACCOIL]).await;
        let warned = super::reasons(run.summary(), "warnings");
        assert_eq!((run.code, warned.len()), (Some(0), warnings), "{stated}: {run:#?}");
        assert!(warned.iter().all(|(_, why)| why.contains("mrr_unit in [vitally_to_accoil]")), "{warned:?}");
        assert_eq!(run.stderr.contains("mrr_unit"), warnings == 1, "{run:#?}");
    }
}

/// Accounts are found by a trait of Vitally's, and written with another prefix, with insights.
#[tokio::test]
async fn accoil_to_vitally_follows_the_configuration() {
    let place = place(
        r#"
[accoil_to_vitally]
match_type = "domain"
match_value = "traits.hspot.domain"
prefix = "usage."
insights = true
"#,
    )
    .await;
    place.change_vitally("ext-12345", |account| account["traits"]["hspot.domain"] = json!("TechCorp.com"));
    place.change_vitally("ext-12346", |account| {
        account["traits"]["hspot.domain"] = json!("northwind.example");
    });
    place.change_vitally("ext-12347", |account| account["traits"]["hspot.domain"] = json!(" "));
    let summary = place.synced(&[TO_VITALLY]).await;
    // Accoil compares the value exactly: another case is unknown to it.
    assert_eq!(counts(&summary), [1, 0, 0, 1, 10, 0], "{summary:#}");
    let reasons = super::reasons(&summary, "skipped");
    assert!(reasons.iter().all(|(_, why)| *why == "it has no traits.hspot.domain"), "{reasons:?}");
    let traits = place.vitally("ext-12346")["traits"].clone();
    let account = place.sandbox().accounts().list().into_iter().find(|one| one["tracking_id"] == "ext-12346");
    let account = account.unwrap();
    assert_eq!(traits["usage.engagement_score"], account["metrics"]["engagement_score"]);
    assert_eq!(traits["usage.insights"], account["insights"]);
    assert_eq!(counts(&place.synced(&[TO_VITALLY]).await), [0, 1, 0, 1, 10, 0]);
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_before_any_call() {
    let vitally = &BOTH[BOTH.find("[vitally]").unwrap()..];
    for (toml, direction, code, reason) in [
        (BOTH.replace(vitally, "[vitally_to_accoil]\nevery = \"1h\""), TO_ACCOIL, 78, "[vitally]"),
        (BOTH.replace(vitally, "[accoil_to_vitally]\nevery = \"1h\""), TO_VITALLY, 78, "[vitally]"),
        (format!("{BOTH}[accoil_to_vitally]\nevery = \"0s\""), TO_VITALLY, 78, "every"),
        (format!("{BOTH}[vitally_to_accoil]\ndestinations = [\"accoi\"]"), TO_ACCOIL, 78, "accoi"),
        (format!("{BOTH}[accoil_to_vitally]\nmatch_value = \"domain\""), TO_VITALLY, 78, "match_value"),
        (format!("{BOTH}[accoil_to_vitally]\nprefx = \"a_\""), TO_VITALLY, 78, "prefix"),
        (BOTH.replace("vitally-secret", "accoil_token"), TO_VITALLY, 78, "secret"),
        (BOTH.replace("\"accoil_token\"", "\"sk_live_1\""), TO_VITALLY, 78, "token"),
        (BOTH.replace(vitally, ""), TO_ACCOIL, 78, "[vitally]"),
        (
            BOTH.replace("[accounts]", "[log]")
                .replace("token = \"accoil_token\"\nworkspace_id = \"13\"\nbase_url = \"${SANDBOX}\"", ""),
            TO_VITALLY,
            78,
            "[accounts]",
        ),
    ] {
        let place = Place::new(Options::default(), &toml).await;
        let run = place.sync(&[direction]).await;
        assert_eq!((run.code, run.lines.len()), (Some(code), 0), "{toml}: {run:#?}");
        assert!(run.stderr.contains(reason), "{toml}: {run:#?}");
        assert_eq!(
            (place.sandbox().vitally().max_units_in_window(), place.sandbox().accounts().reads()),
            (0, 0)
        );
    }
}
