//! With a running relay, the commands go through its admin API: the output is the same, and the relay itself runs the
//! sync.

use std::time::{Duration, Instant};

use accoil_relay::sandbox::{Fault, Options};
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{BOTH, Place, TO_ACCOIL, TO_VITALLY, counts, until};
use crate::http::{Answer, send};
use crate::relay::Process;

const TOKEN: &str = "[admin]\ntoken = \"admin-token\"\n";
const ADMIN: (&str, &str) = ("authorization", "Bearer admin-token");

async fn get(relay: &Process) -> Value {
    send(Method::GET, &relay.admin_url("/api/sync"), &[ADMIN], "").await.json()
}

async fn post(relay: &Process, path: &str) -> Answer {
    send(Method::POST, &relay.admin_url(path), &[ADMIN], "").await
}

/// Makes a run long: Accoil answers late.
fn slow(place: &Place, delay_ms: u64) {
    place.fault(Fault {
        path: Some("/v1/accounts".to_owned()),
        delay_ms: Some(delay_ms),
        times: 1_000,
        ..Fault::default()
    });
}

#[tokio::test]
async fn a_command_through_the_relay_prints_the_same() {
    let alone = Place::usual().await;
    let place = Place::usual().await;
    let toml = format!("{BOTH}{TOKEN}");
    let relay = Process::start(place.folder(), &toml, &place.served.url).await;
    assert_eq!(get(&relay).await, json!({"running": false, "last": [], "runs": [], "next": []}));
    for direction in [TO_ACCOIL, TO_VITALLY] {
        for arguments in [&[direction, "--dry-run"][..], &[direction], &[direction]] {
            let mut runs = [alone.sync(arguments).await, place.sync(arguments).await];
            for run in &mut runs {
                run.lines.iter_mut().for_each(forget_time);
                run.lines.sort_by_key(Value::to_string);
            }
            let [expected, run] = runs;
            assert_eq!((run.code, &run.lines), (Some(0), &expected.lines), "{run:#?}");
            assert_eq!(without_log(&run.stderr), without_log(&expected.stderr));
        }
        assert!(relay.log().contains(&format!(r#""sync.direction":"{direction}""#)), "{}", relay.log());
    }
    let shown = get(&relay).await;
    let last: Vec<_> =
        shown["last"].as_array().unwrap().iter().filter_map(|run| run["direction"].as_str()).collect();
    assert_eq!((&shown["running"], last), (&json!(false), vec![TO_ACCOIL, TO_VITALLY]));
    let kept: Vec<_> = shown["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| json!([run["direction"], run["cause"], run["state"], run["written"], run["unchanged"]]))
        .collect();
    let run = |direction: &str, written: u64, unchanged: u64| {
        json!([direction, "request", "done", written, unchanged])
    };
    assert_eq!(
        kept,
        [run(TO_VITALLY, 0, 10), run(TO_VITALLY, 10, 0), run(TO_ACCOIL, 0, 11), run(TO_ACCOIL, 11, 0)],
        "the newest first, and no dry run: {shown:#}"
    );
    assert_eq!(place.groups().len() + place.writes().len(), 21);
}

/// A command that runs alone logs as a relay does.
fn without_log(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| !line.contains("sync.direction")).collect()
}

/// Removes the times, which always differ.
fn forget_time(line: &mut Value) {
    for pointer in ["/change/body/timestamp", "/summary/at"] {
        if let Some(time) = line.pointer_mut(pointer) {
            *time = Value::Null;
        }
    }
}

#[tokio::test]
async fn the_command_prints_the_errors_of_the_admin_api() {
    let place = Place::usual().await;
    let relay = Process::start(place.folder(), &format!("{BOTH}{TOKEN}"), &place.served.url).await;
    for token in ["", "[admin]\ntoken = \"wrong\"\n"] {
        place.configure(&format!("{BOTH}{token}"));
        let run = place.sync(&[TO_ACCOIL]).await;
        assert_eq!((run.code, run.lines.len()), (Some(1), 0), "{run:#?}");
        assert!(run.stderr.contains("the admin token is missing or wrong"), "{run:#?}");
        assert!(run.stderr.contains("relay.db"), "it says which relay: {run:#?}");
    }
    for (path, status, code) in [
        ("/api/sync/sideways", 404, "not_found"),
        ("/api/sync/vitally_to_accoil", 404, "not_found"),
        ("/api/sync/vitally-to-accoil?dry_run=maybe", 400, "invalid_parameter"),
        ("/api/sync/vitally-to-accoil?dry-run=true", 400, "invalid_parameter"),
    ] {
        let answer = post(&relay, path).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (status, Some(code)), "{path}");
    }
    let answer = send(Method::GET, &relay.admin_url("/api/sync/vitally-to-accoil"), &[ADMIN], "").await;
    assert_eq!(answer.status, 405);
    let answer = send(Method::POST, &relay.admin_url("/api/sync/vitally-to-accoil"), &[], "").await;
    assert_eq!(answer.status, 401);
    assert_eq!((place.sandbox().vitally().max_units_in_window(), place.sandbox().total()), (0, 0));

    let bare = Place::usual().await;
    let toml = format!("{}{TOKEN}", &BOTH[..BOTH.find("[accounts]").unwrap()]);
    let relay = Process::start(bare.folder(), &toml, &bare.served.url).await;
    for direction in [TO_ACCOIL, TO_VITALLY] {
        let answer = post(&relay, &format!("/api/sync/{direction}")).await;
        let code = answer.json()["code"].clone();
        assert_eq!((answer.status.as_u16(), code.as_str()), (404, Some("not_configured")), "{answer:?}");
        let run = bare.sync(&[direction]).await;
        assert!(run.code == Some(78) && run.stderr.contains("[vitally]"), "{run:#?}");
    }
}

/// A client may disconnect: the run belongs to the relay.
#[tokio::test]
async fn a_run_continues_without_its_listener() {
    let place = Place::new(Options { accounts: 100, ..Options::default() }, BOTH).await;
    let relay = Process::start(place.folder(), BOTH, &place.served.url).await;
    slow(&place, 50);
    let mut command = place.start(TO_VITALLY);
    until("the first write", || !place.sandbox().vitally().writes().is_empty()).await;
    let refused = place.sync(&[TO_ACCOIL]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("another sync is running"), "{refused:#?}");
    command.kill().unwrap();
    command.wait().unwrap();
    let before = place.writes().len();
    assert!(before < 98, "killed in the middle: {before}");
    until("the rest", || place.writes().len() == 98).await;
    until("its end", || relay.log().contains("a sync has ended")).await;
    assert_eq!(counts(&get(&relay).await["last"][0]), [98, 0, 0, 1, 1, 0]);
    let metrics = send(Method::GET, &relay.admin_url("/metrics"), &[], "").await;
    let line = "accoil_relay_sync_accounts{direction=\"accoil-to-vitally\",outcome=\"written\"} 98\n";
    assert!(metrics.text().contains(line), "{}", metrics.text());
}

/// SIGTERM in the middle of a run: the relay stops in time although Accoil's answer takes longer, and the next run
/// finishes the rest.
#[tokio::test]
async fn a_stopping_relay_does_not_wait_for_the_end_of_a_run() {
    let place = Place::new(Options { accounts: 100, ..Options::default() }, BOTH).await;
    let toml = format!("{BOTH}[server]\nshutdown_timeout = \"3s\"\n");
    for (delay, is_in_order) in [(50, true), (20_000, false)] {
        let relay = Process::start(place.folder(), &toml, &place.served.url).await;
        slow(&place, 50);
        let before = place.writes().len();
        let command = place.command(&[TO_VITALLY]);
        let mut listening = JoinSet::new();
        listening.spawn(super::run(command));
        until("some writes", || place.writes().len() > before + 5).await;
        place.sandbox().faults().clear();
        slow(&place, delay);
        // The calls already made are answered soon.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let asked = Instant::now();
        relay.terminate();
        let status = relay.ended().await;
        assert!(status.success() && asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        let run = listening.join_next().await.unwrap().unwrap();
        assert_eq!(run.code, Some(1), "{run:#?}");
        if is_in_order {
            let ended = run.summary()["ended"].as_str().unwrap_or_default();
            assert!(ended.contains("was stopped"), "{run:#?}");
        } else {
            assert!(run.stderr.contains("the relay at"), "{run:#?}");
        }
        place.sandbox().faults().clear();
    }
    let rest = place.synced(&[TO_VITALLY]).await;
    assert_eq!(counts(&rest)[..3].iter().sum::<u64>(), 98);
    assert!(place.writes().len() == 98 && place.writes().values().all(|writes| writes.len() == 1));
}

/// SIGKILL in the middle of a run: the next relay shows that run as interrupted, and the next run finishes the rest.
#[tokio::test]
async fn a_run_of_a_killed_relay_is_shown_as_interrupted() {
    let place = Place::new(Options { accounts: 100, ..Options::default() }, BOTH).await;
    let toml = format!("{BOTH}{TOKEN}");
    let relay = Process::start(place.folder(), &toml, &place.served.url).await;
    slow(&place, 50);
    let mut listening = JoinSet::new();
    listening.spawn(super::run(place.command(&[TO_VITALLY])));
    until("some writes", || place.writes().len() > 5).await;
    let shown = get(&relay).await;
    let of_run = |shown: &Value, number: usize| {
        let run = &shown["runs"][number];
        json!([run["direction"], run["state"], run["ended_at"], run["written"]])
    };
    assert_eq!(
        (&shown["running"], of_run(&shown, 0)),
        (&json!(true), json!([TO_VITALLY, "running", null, 0]))
    );
    relay.kill();
    let run = listening.join_next().await.unwrap().unwrap();
    assert!(run.code == Some(1) && run.stderr.contains("the relay at"), "{run:#?}");
    place.sandbox().faults().clear();

    let relay = Process::start(place.folder(), &toml, &place.served.url).await;
    let shown = get(&relay).await;
    assert_eq!(
        (&shown["running"], of_run(&shown, 0)),
        (&json!(false), json!([TO_VITALLY, "interrupted", null, 0]))
    );
    let path = format!("/api/sync/runs/{}", shown["runs"][0]["id"]);
    let one = send(Method::GET, &relay.admin_url(&path), &[ADMIN], "").await.json();
    assert_eq!((&one["state"], &one["summary"]), (&json!("interrupted"), &Value::Null));
    let rest = place.synced(&[TO_VITALLY]).await;
    assert_eq!(counts(&rest)[..3].iter().sum::<u64>(), 98);
    let shown = get(&relay).await;
    assert_eq!([0, 1].map(|number| shown["runs"][number]["state"].clone()), ["done", "interrupted"]);
}
