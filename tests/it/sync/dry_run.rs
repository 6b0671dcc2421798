//! A dry run prints exactly the calls that a real run makes, and makes none itself.

use serde_json::{Value, json};

use super::{Place, Run, TO_ACCOIL, TO_VITALLY, counts};

/// Returns the changes as calls, in text order: account, method, path, and the body without its time.
fn calls(run: &Run) -> Vec<String> {
    let mut calls: Vec<_> = run
        .changes()
        .into_iter()
        .map(|change| call(&change["method"], &change["path"], change["body"].clone()))
        .collect();
    calls.sort_unstable();
    calls
}

fn call(method: &Value, path: &Value, mut body: Value) -> String {
    if let Some(body) = body.as_object_mut() {
        body.remove("timestamp");
    }
    format!("{method} {path} {body}")
}

#[tokio::test]
async fn a_dry_run_prints_the_calls_of_the_real_run_and_makes_none() {
    let place = Place::usual().await;
    // An id that needs encoding is the same in the output and on the wire.
    let mut account = place.vitally("ext-12345");
    assert!(place.sandbox().vitally().remove(account["id"].as_str().unwrap()));
    account["id"] = json!("a/b%🏢");
    assert!(place.sandbox().vitally().set(account));
    let dry = [place.sync(&[TO_ACCOIL, "--dry-run"]).await, place.sync(&[TO_VITALLY, "--dry-run"]).await];
    for (run, expected) in dry.iter().zip([[11, 0, 0, 0, 1, 0], [10, 0, 0, 1, 1, 0]]) {
        assert_eq!((run.code, counts(run.summary())), (Some(0), expected), "{run:#?}");
        assert_eq!(run.summary()["dry_run"], true);
        assert!(run.stderr.contains("to be written"), "{run:#?}");
    }
    assert_eq!((place.sandbox().total(), place.sandbox().vitally().writes().len()), (0, 0));

    // The dry run leaves no trace that a real run would take for its own: everything is still to be written.
    let real = [place.sync(&[TO_ACCOIL]).await, place.sync(&[TO_VITALLY]).await];
    assert_eq!(counts(real[0].summary()), counts(dry[0].summary()));
    assert_eq!(counts(real[1].summary()), counts(dry[1].summary()));
    assert!(real.iter().all(|run| run.changes().is_empty()), "only a dry run prints them");
    let mut groups: Vec<_> = place
        .groups()
        .into_values()
        .flatten()
        .map(|body| call(&json!("POST"), &json!("/v2/group"), body))
        .collect();
    groups.sort_unstable();
    assert_eq!(calls(&dry[0]), groups);
    let path = |id: &str| if id == "a/b%🏢" { "a%2Fb%25%F0%9F%8F%A2".to_owned() } else { id.to_owned() };
    let mut writes: Vec<_> = place
        .writes()
        .into_iter()
        .flat_map(|(id, bodies)| bodies.into_iter().map(move |body| (path(&id), body)))
        .map(|(id, body)| call(&json!("PUT"), &json!(format!("/resources/accounts/{id}")), body))
        .collect();
    writes.sort_unstable();
    assert_eq!(calls(&dry[1]), writes);

    // A dry run prints the old value of what changes, and nothing for what does not.
    place.change_accoil("ext-12345", |account| account["metrics"]["raw_score"] = json!(1));
    let run = place.sync(&[TO_VITALLY, "--dry-run"]).await;
    assert_eq!(run.changes().len(), 1, "{run:#?}");
    assert_eq!(run.changes()[0]["before"], json!({"accoil_raw_score": 2150}));
    assert_eq!(run.changes()[0]["body"], json!({"traits": {"accoil_raw_score": 1}}));
    assert_eq!(place.sync(&[TO_ACCOIL, "--dry-run"]).await.changes(), Vec::<&Value>::new());
}

/// A dry run in between neither uses nor resets the progress of an interrupted run.
#[tokio::test]
async fn a_dry_run_keeps_the_place_of_an_interrupted_run() {
    let place = Place::usual().await;
    let refused = accoil_relay::sandbox::Fault {
        path: Some(format!("/resources/accounts/{}", place.vitally("ext-12350")["id"].as_str().unwrap())),
        status: Some(401),
        ..Default::default()
    };
    place.fault(refused);
    let broken_off = place.sync(&[TO_VITALLY]).await;
    let before = counts(broken_off.summary())[0];
    assert!(broken_off.code == Some(1) && before > 0, "{broken_off:#?}");
    let dry = place.synced(&[TO_VITALLY, "--dry-run"]).await;
    assert_eq!(counts(&dry)[2], 0, "a dry run looks at every account");
    let rest = place.synced(&[TO_VITALLY]).await;
    assert!(counts(&rest)[2] >= before, "{rest:#}");
    assert_eq!(counts(&rest)[..3].iter().sum::<u64>(), 10);
    assert!(place.writes().values().all(|writes| writes.len() == 1));
}

/// stdout is data, stderr has plain lines for people without terminal controls.
#[tokio::test]
async fn stdout_is_json_and_stderr_is_plain() {
    let place = Place::usual().await;
    place.change_vitally("ext-12356", |account| account["name"] = json!("\u{1b}[31mEvil\r\nSYNC OK"));
    // Slow enough that progress is printed.
    place.fault(accoil_relay::sandbox::Fault {
        path: Some("/v1/accounts".to_owned()),
        delay_ms: Some(2_000),
        times: 20,
        ..Default::default()
    });
    let run = place.sync(&[TO_VITALLY]).await;
    assert_eq!((run.code, run.lines.len()), (Some(0), 1), "{run:#?}");
    assert!(run.stderr.lines().all(|line| !line.contains(char::is_control)), "{run:#?}");
    assert!(!run.stderr.lines().any(|line| line.starts_with("SYNC OK")), "{run:#?}");
    assert!(run.stderr.contains("accoil-to-vitally: 12 accounts: "), "{run:#?}");
    assert!(run.stderr.contains("  unknown to Accoil  ext-12356 ( [31mEvil SYNC OK)\n"), "{run:#?}");
    assert!(run.stderr.contains(" of 11 accounts"), "progress: {run:#?}");
}
