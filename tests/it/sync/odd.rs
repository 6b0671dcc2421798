//! Odd accounts from `tests/fixtures/sync`: each leads to a right write, a counted skip or a clear failure, never to
//! a wrong write.

use accoil_relay::sandbox::{Fault, Options};
use serde_json::{Value, json};

use super::{BOTH, Place, TO_ACCOIL, TO_VITALLY, reasons};

const CARRIED: &str = r#"
[vitally_to_accoil]
traits = ["seats", "hspot.city"]
"#;
const INSIGHTS: &str = "
[accoil_to_vitally]
insights = true
";

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// A sandbox without companies.
async fn empty(more: &str) -> Place {
    Place::new(Options { accounts: 0, ..Options::default() }, &format!("{BOTH}{more}")).await
}

#[tokio::test]
async fn a_vitally_account_becomes_the_right_group_or_is_skipped() {
    let place = empty(CARRIED).await;
    let cases = cases(include_str!("../../fixtures/sync/to_accoil.json"));
    for (number, case) in cases.iter().enumerate() {
        let mut account = case["vitally"].clone();
        account["id"] = json!(format!("id-{number}"));
        assert!(place.sandbox().vitally().set(account));
    }
    let summary = place.synced(&[TO_ACCOIL]).await;
    let (skipped, warnings) = (reasons(&summary, "skipped"), reasons(&summary, "warnings"));
    let mut groups = place.groups();
    for case in &cases {
        let key = case["sent_as"].as_str().or(case["vitally"]["externalId"].as_str()).unwrap_or_default();
        let named = if key.trim().is_empty() { case["vitally"]["name"].as_str().unwrap() } else { key };
        let has = |list: &[(&str, &str)], text: &str| {
            list.iter().any(|(name, reason)| *name == named && reason.contains(text))
        };
        match (case["sent"].as_object(), case["skipped"].as_str()) {
            (Some(sent), None) => {
                let calls = groups.remove(key).unwrap_or_default();
                assert_eq!(calls.len(), 1, "{case}: {calls:?}");
                assert_eq!(calls[0]["traits"], json!(sent), "{case}");
            }
            (None, Some(why)) => assert!(has(&skipped, why), "{case}: {skipped:?}"),
            _ => panic!("the case says either: {case}"),
        }
        let warning = case["warning"].as_str();
        assert_eq!(
            warning.is_some(),
            warnings.iter().any(|(name, _)| *name == named),
            "{case}: {warnings:?}"
        );
        assert!(warning.is_none_or(|reason| has(&warnings, reason)), "{case}: {warnings:?}");
    }
    assert_eq!(groups.len(), 0, "nothing else was sent: {groups:?}");
    assert_eq!(place.synced(&[TO_ACCOIL]).await["written"], 0, "and it is not sent again");
}

#[tokio::test]
async fn an_accoil_account_becomes_the_right_traits_or_nothing() {
    let place = empty(INSIGHTS).await;
    let cases = cases(include_str!("../../fixtures/sync/to_vitally.json"));
    for (number, case) in cases.iter().enumerate() {
        let external = external(case, number);
        assert!(place.sandbox().vitally().set(json!({
            "id": id(case, number), "externalId": external, "name": case["why"], "traits": case["traits"],
            "createdAt": "2024-01-02T03:04:05.000Z",
        })));
        if case["accoil"].is_object() {
            let mut account = case["accoil"].clone();
            account["id"] = json!(number.to_string());
            account["tracking_id"] = json!(case["answers_for"].as_str().unwrap_or(&external));
            if let Some(length) = account["insights"].as_u64() {
                account["insights"] = json!("x".repeat(usize::try_from(length).unwrap()));
            }
            assert!(place.sandbox().accounts().set(account));
        }
    }
    let run = place.sync(&[TO_VITALLY]).await;
    assert_eq!(run.code, Some(0), "none of them fails: {run:#?}");
    let summary = run.summary();
    let (skipped, warnings) = (reasons(summary, "skipped"), reasons(summary, "warnings"));
    let unknown = summary["unknown"].as_array().unwrap();
    let mut writes = place.writes();
    for (number, case) in cases.iter().enumerate() {
        let external = external(case, number);
        let has = |list: &[(&str, &str)], reason: Option<&str>| {
            let mut of_it = list.iter().filter(|(name, _)| *name == external).peekable();
            reason.map_or(of_it.peek().is_none(), |text| of_it.any(|(_, reason)| reason.contains(text)))
        };
        assert!(has(&skipped, case["skipped"].as_str()), "{case}: {skipped:?}");
        assert!(has(&warnings, case["warning"].as_str()), "{case}: {warnings:?}");
        let is_unknown = unknown.iter().any(|one| one["external_id"] == *external);
        assert_eq!(is_unknown, case["unknown"] == true, "{case}: {unknown:?}");
        let written = writes.remove(&id(case, number)).unwrap_or_default();
        let expected: Vec<_> =
            case.get("written").map(|traits| json!({"traits": traits})).into_iter().collect();
        assert_eq!(written, expected, "{case}");
    }
    assert_eq!(writes.len(), 0, "nothing else was written: {writes:?}");
    let again = place.sync(&[TO_VITALLY]).await;
    assert_eq!(again.summary()["written"], 0, "and it is not written again: {again:#?}");
}

fn id(case: &Value, number: usize) -> String {
    case["id"].as_str().map_or_else(|| format!("id-{number}"), str::to_owned)
}

fn external(case: &Value, number: usize) -> String {
    case["external"].as_str().map_or_else(|| format!("external-{number}"), str::to_owned)
}

/// Null at Accoil clears a trait at Vitally if the relay wrote its value, and leaves it if somebody else changed it.
#[tokio::test]
async fn null_clears_only_traits_that_the_relay_wrote() {
    let place = Place::usual().await;
    place.synced(&[TO_VITALLY]).await;
    let before = place.writes().values().map(Vec::len).sum::<usize>();
    for (external, is_given_back_as_text) in [("ext-12345", false), ("ext-12346", true)] {
        place.change_accoil(external, |account| account["metrics"]["engagement_score"] = Value::Null);
        place.change_vitally(external, |account| {
            let score = &mut account["traits"]["accoil_engagement_score"];
            if is_given_back_as_text {
                *score = json!(score.to_string());
            }
        });
    }
    place.change_accoil("ext-12347", |account| account["metrics"]["engagement_score"] = Value::Null);
    place.change_vitally("ext-12347", |account| account["traits"]["accoil_engagement_score"] = json!(3));
    let summary = place.synced(&[TO_VITALLY]).await;
    assert_eq!(reasons(&summary, "warnings").len(), 1, "{summary:#}");
    assert_eq!(reasons(&summary, "warnings")[0].0, "ext-12347");
    for external in ["ext-12345", "ext-12346"] {
        let account = place.vitally(external);
        let writes = &place.writes()[account["id"].as_str().unwrap()];
        assert_eq!(writes.last().unwrap(), &json!({"traits": {"accoil_engagement_score": null}}));
        assert!(account["traits"]["accoil_engagement_score"].is_null());
    }
    assert_eq!(place.vitally("ext-12347")["traits"]["accoil_engagement_score"], 3);
    assert_eq!(place.writes().values().map(Vec::len).sum::<usize>(), before + 2);
}

/// A refused write does not count: the value written before stays the relay's own, and is cleared when Accoil has
/// null.
#[tokio::test]
async fn an_unconfirmed_write_does_not_replace_a_recorded_one() {
    let place = Place::usual().await;
    place.synced(&[TO_VITALLY]).await;
    let metric = |name: &'static str, value: Value| {
        place.change_accoil("ext-12345", |account| account["metrics"][name] = value);
    };
    let path = format!("/resources/accounts/{}", place.vitally("ext-12345")["id"].as_str().unwrap());
    metric("raw_score", json!(9));
    place.fault(Fault { path: Some(path), status: Some(400), ..Fault::default() });
    assert_eq!(place.sync(&[TO_VITALLY]).await.code, Some(1));
    metric("raw_score", json!(2150));
    metric("active_users", json!(1));
    place.synced(&[TO_VITALLY]).await;
    metric("raw_score", Value::Null);
    let summary = place.synced(&[TO_VITALLY]).await;
    assert_eq!(
        (summary["written"].as_u64(), reasons(&summary, "warnings").len()),
        (Some(1), 0),
        "{summary:#}"
    );
    assert!(place.vitally("ext-12345")["traits"]["accoil_raw_score"].is_null());
}
