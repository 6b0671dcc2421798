//! `every`: `serve` runs a sync repeatedly, one at a time, and after a restart not before its time.

use accoil_relay::sandbox::{Fault, Options};
use http::Method;
use serde_json::{Value, json};

use super::{BOTH, Place, TO_ACCOIL, TO_VITALLY, until};
use crate::http::send;
use crate::relay::Process;

fn scheduled(every: &str) -> String {
    format!("{BOTH}[vitally_to_accoil]\nevery = \"{every}\"\n[accoil_to_vitally]\nevery = \"{every}\"\n")
}

impl Place {
    async fn serve(&self, toml: &str) -> Process {
        Process::start(self.folder(), toml, &self.served.url).await
    }
}

/// Returns the ends of the runs that the relay has logged, by direction, in order.
fn runs(relay: &Process) -> Vec<String> {
    let log = relay.log();
    let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    entries.filter_map(|entry| entry["sync.direction"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_schedule_runs_repeatedly_and_sends_only_changes() {
    let place = Place::usual().await;
    let relay = place.serve(&scheduled("1s")).await;
    for score in [1, 2, 3] {
        until("a run in each direction", || {
            [TO_ACCOIL, TO_VITALLY]
                .iter()
                .all(|one| runs(&relay).iter().filter(|run| run == one).count() >= score)
        })
        .await;
        // The order matters: a run that writes the score must not come between the read and the change here.
        place.change_vitally("ext-12345", |account| account["mrr"] = json!(score));
        place.change_accoil("ext-12345", |account| account["metrics"]["raw_score"] = json!(score));
        until("Vitally's value", || place.vitally("ext-12345")["traits"]["accoil_raw_score"] == score).await;
        until("Accoil's value", || {
            place.groups()["ext-12345"].last().unwrap()["traits"]["mrr"] == json!(score * 100)
        })
        .await;
    }
    assert_eq!(place.sandbox().total(), 11 + 3, "only what changed");
    assert_eq!(place.sandbox().vitally().writes().len(), 10 + 3);
}

/// A long run delays the other direction, and a command gets that as its answer.
#[tokio::test]
async fn one_run_at_a_time() {
    let place = Place::usual().await;
    place.fault(Fault {
        path: Some("/resources/accounts".to_owned()),
        delay_ms: Some(10_000),
        ..Fault::default()
    });
    let relay = place.serve(&scheduled("1s")).await;
    until("the first run's question", || place.sandbox().vitally().max_units_in_window() > 0).await;
    for direction in [TO_ACCOIL, TO_VITALLY] {
        let refused = place.sync(&[direction]).await;
        assert!(
            refused.code == Some(1) && refused.stderr.contains("another sync is running"),
            "{refused:#?}"
        );
    }
    assert_eq!(runs(&relay), Vec::<String>::new());
    until("both", || runs(&relay).len() >= 2).await;
    assert_ne!(runs(&relay)[0], runs(&relay)[1], "in turn");
}

#[tokio::test]
async fn a_restart_begins_no_run_before_its_time() {
    let place = Place::new(Options::default(), &scheduled("1h")).await;
    let relay = place.serve(&scheduled("1h")).await;
    until("the first runs", || runs(&relay).len() == 2).await;
    relay.kill();
    let asked = place.sandbox().accounts().reads();
    let relay = place.serve(&scheduled("1h")).await;
    // Another run would have begun immediately, before this one is answered or beside it.
    let run = place.sync(&[TO_VITALLY]).await;
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(runs(&relay), [TO_VITALLY], "the command's alone");
    assert_eq!(place.sandbox().accounts().reads(), 2 * asked);
    relay.kill();
    // With a shorter period it is due.
    let relay = place.serve(&scheduled("1s")).await;
    until("the next runs", || runs(&relay).len() >= 2).await;
}

/// The reason for a failed scheduled run is in the log and in the API, also after a restart.
#[tokio::test]
async fn the_reason_for_a_failed_run_is_logged_and_kept() {
    let place = Place::usual().await;
    let body = Some(r#"{"error":"Unknown key."}"#.to_owned());
    let path = Some("/resources/accounts".to_owned());
    place.fault(Fault { path, status: Some(401), body, times: 100, ..Fault::default() });
    let relay = place.serve(&scheduled("1h")).await;
    until("the first runs", || runs(&relay).len() == 2).await;
    let log = relay.log();
    let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    for entry in entries.filter(|entry| entry["sync.direction"].is_string()) {
        assert_eq!((&entry["level"], &entry["sync.ended_early"]), (&json!("ERROR"), &json!(true)), "{entry}");
        let reason = entry["error.message"].as_str().unwrap_or_default();
        assert!(reason.contains("Unknown key.") && reason.contains("vitally.secret"), "{entry}");
    }
    let shown = syncs(&relay).await;
    let (kept, runs) = (&shown["last"], &shown["runs"]);
    assert_eq!((kept.as_array().unwrap().len(), runs.as_array().unwrap().len()), (2, 2), "{shown:#}");
    assert!(kept[0]["ended"].as_str().unwrap().contains("vitally.secret"), "{kept:#}");
    assert_eq!((&runs[0]["state"], &runs[0]["cause"]), (&json!("failed"), &json!("schedule")), "{shown:#}");
    assert_eq!(shown["next"].as_array().unwrap().len(), 2, "{shown:#}");
    relay.terminate();
    relay.ended().await;
    let relay = place.serve(BOTH).await;
    let after = syncs(&relay).await;
    assert_eq!((&after["last"], &after["runs"], &after["next"]), (kept, runs, &json!([])));
    let get = async |path: &str| send(Method::GET, &relay.admin_url(path), &[], "").await;
    let id = &runs[1]["id"];
    let run = get(&format!("/api/sync/runs/{id}")).await.json();
    assert_eq!(run["reason"], run["summary"]["ended"], "{run:#}");
    for page in ["/syncs".to_owned(), format!("/syncs/{id}")] {
        assert!(get(&page).await.text().contains("Unknown key."), "{page}");
    }
    for id in ["99", "first"] {
        assert_eq!(get(&format!("/api/sync/runs/{id}")).await.status, 404);
    }
    let metrics = send(Method::GET, &relay.admin_url("/metrics"), &[], "").await.text().to_owned();
    for direction in [TO_ACCOIL, TO_VITALLY] {
        let line = format!("accoil_relay_sync_success{{direction=\"{direction}\"}} 0\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

async fn syncs(relay: &Process) -> Value {
    send(Method::GET, &relay.admin_url("/api/sync"), &[], "").await.json()
}
