//! `backup` through the real binary: a backup is made while a relay runs, and a relay on the copy delivers the calls that
//! were waiting.

use std::os::unix::fs::PermissionsExt as _;

use accoil_relay::sandbox::{Fault, Options, Received};

use crate::relay::{Process, TEST_TIMEOUT, USUAL};
use crate::sandbox::RunningSandbox;
use crate::waiting::{run, text, track};

#[tokio::test]
async fn a_relay_on_a_backup_delivers_what_waited_when_the_backup_was_made() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (folder, served) = (folder.path(), RunningSandbox::start(Options::default()).await);
    let url = &served.url;
    served.sandbox.faults().add(Fault { status: Some(503), times: u64::MAX, ..Fault::default() }).unwrap();
    let relay = Process::start(folder, USUAL, url).await;
    for event in ["one", "two"] {
        assert_eq!(relay.post("/v1/track", &[], track("ada", event)).await.status, 200);
    }
    let copy = other.path().join("relay.db");
    let copy_name = copy.to_str().unwrap();
    let made = run(folder, url, &["backup", copy_name]).await;
    assert!(made.status.success() && text(&made.stderr).contains("copied the outbox"), "{made:?}");
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(relay.post("/v1/track", &[], track("ada", "later")).await.status, 200);
    relay.kill();

    let again = run(folder, url, &["backup", copy_name]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("never replaces a file"), "{again:?}");

    served.sandbox.faults().clear();
    let _relay = Process::start(other.path(), USUAL, url).await;
    let delivered = || {
        let calls = served.sandbox.received();
        let event = |call: &Received| call.body.get("event").map(ToString::to_string).unwrap_or_default();
        calls.iter().filter(|call| call.status == Some(202)).map(event).collect::<Vec<_>>()
    };
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    while delivered().len() < 2 {
        assert!(std::time::Instant::now() < deadline, "{:?}", delivered());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(delivered(), ["\"one\"", "\"two\""]);
}
