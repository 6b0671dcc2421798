//! Wrong answers of either system: the run ends or the account fails, both give the reason, and nothing wrong is
//! written. The next run does what was left.

use accoil_relay::sandbox::{Fault, Options};
use serde_json::json;

use super::{BOTH, Place, TO_ACCOIL, TO_VITALLY, counts, reasons};
use crate::relay::Process;

const LIST: &str = "/resources/accounts";
const LOOK_UP: &str = "/v1/accounts";
const HTML: &str = "<html><body>Sign in</body></html>";

fn answer(path: &str, status: u16, body: &str, times: u64) -> Fault {
    let (path, body) = (Some(path.to_owned()), Some(body.to_owned()));
    Fault { path, status: Some(status), body, times, ..Fault::default() }
}

impl Place {
    /// The path of a write to this account.
    fn path(&self, external: &str) -> String {
        format!("{LIST}/{}", self.vitally(external)["id"].as_str().unwrap())
    }

    fn is_untouched(&self) -> bool {
        self.sandbox().vitally().writes().is_empty() && self.sandbox().total() == 0
    }
}

/// A fault in a list ends the run before anything is written, because half a list is useless.
#[tokio::test]
async fn a_bad_list_ends_the_run_before_anything_is_written() {
    let page = |results: &str, next: &str| format!(r#"{{"results":{results},"next":{next}}}"#);
    let one = r#"[{"id":"1","externalId":"one","name":"One","traits":{}}]"#;
    let cases = [
        (answer(LIST, 200, &page(one, "\"same\""), 2), "the same page cursor twice"),
        (answer(LIST, 200, &page("[]", "\"more\""), 1), "an empty page"),
        (answer(LIST, 200, HTML, 1), "not with JSON"),
        (answer(LIST, 200, r#"{"data":[]}"#, 1), "not as documented"),
        (answer(LIST, 401, r#"{"error":"Unknown key."}"#, 1), "vitally.secret"),
        (answer(LIST, 403, HTML, 1), "vitally.secret"),
        (answer(LIST, 400, r#"{"message":"No."}"#, 1), "No."),
        (answer(LIST, 302, "", 1), "302"),
    ];
    let place = Place::usual().await;
    for (fault, reason) in cases {
        for direction in [TO_ACCOIL, TO_VITALLY] {
            place.fault(fault.clone());
            let run = place.sync(&[direction]).await;
            let ended = run.summary()["ended"].as_str().unwrap_or_default();
            assert!(run.code == Some(1) && ended.contains(reason), "{direction} {fault:?}: {run:#?}");
            assert!(run.stderr.contains("ENDED EARLY") && run.stderr.contains(reason), "{run:#?}");
            assert!(place.sandbox().faults().list().is_empty(), "{direction} {fault:?}: one try");
        }
    }
    assert!(place.is_untouched());
}

/// The error names the wrong key, and the sync does not retry with it.
#[tokio::test]
async fn a_wrong_token_ends_the_run_and_is_named() {
    let place = Place::usual().await;
    // A key that is wrong but has the right form; a wrong form is a fault of the configuration.
    for (fault, reason) in [
        (
            answer(LOOK_UP, 401, r#"{"error":{"message":"Invalid","code":"unauthorized"}}"#, 50),
            "accounts.token",
        ),
        (answer(&place.path("ext-12345"), 401, r#"{"error":"No."}"#, 1), "vitally.secret"),
    ] {
        place.fault(fault.clone());
        let run = place.sync(&[TO_VITALLY]).await;
        let ended = run.summary()["ended"].as_str().unwrap_or_default();
        assert!(run.code == Some(1) && ended.contains(reason), "{fault:?}: {run:#?}");
        let left: u64 = place.sandbox().faults().list().iter().map(|fault| fault.times).sum();
        assert!(left == 0 || left >= 50 - 5, "only a few calls at once: {left}");
        place.sandbox().faults().clear();
    }
    let written = place.writes().len() as u64;
    let rest = place.synced(&[TO_VITALLY]).await;
    assert_eq!(counts(&rest)[0] + written, 10);
}

/// The relay does not wait for an hour: the run ends at once and reports when to try again.
#[tokio::test]
async fn a_wait_of_an_hour_ends_the_run_and_is_reported() {
    let place = Place::usual().await;
    for (path, who) in
        [(LIST.to_owned(), "Vitally"), (place.path("ext-12345"), "Vitally"), (LOOK_UP.to_owned(), "Accoil")]
    {
        let retry_after = Some("3600".to_owned());
        place.fault(Fault { retry_after, ..answer(&path, 429, "{}", 1) });
        let run = place.sync(&[TO_VITALLY]).await;
        let ended = run.summary()["ended"].as_str().unwrap_or_default();
        assert!(run.code == Some(1) && ended.starts_with(who), "{path}: {run:#?}");
        // A later request reports how much of the hour is left.
        assert!(ended.contains("again in 3600 s") || ended.contains("again in 359"), "{path}: {run:#?}");
        assert!(run.stderr.contains("ENDED EARLY") && run.stderr.contains(ended), "{run:#?}");
        assert!(place.sandbox().faults().list().is_empty(), "{path}: it was asked");
    }
    assert_eq!(counts(&place.synced(&[TO_VITALLY]).await)[3..], [1, 1, 0]);
    assert_eq!(place.writes().values().map(Vec::len).collect::<Vec<_>>(), [1; 10]);
}

/// An account that cannot be read or written does not affect the others; the next run tries it again.
#[tokio::test]
async fn a_failing_account_does_not_affect_the_others() {
    let place = Place::usual().await;
    let write = place.path("ext-12345");
    for (fault, reason) in [
        (answer(LOOK_UP, 501, "{}", 1), "501"),
        (answer(LOOK_UP, 200, HTML, 1), "not with JSON"),
        (answer(LOOK_UP, 404, HTML, 1), "not with JSON"),
        (answer(LOOK_UP, 404, "{}", 1), "not an account"),
        (
            answer(LOOK_UP, 200, r#"{"id":"9","tracking_id":"somebody","metrics":{"raw_score":1}}"#, 1),
            "a different account",
        ),
        (answer(LOOK_UP, 200, r#"{"id":"9","metrics":{"raw_score":1}}"#, 1), "a different account"),
        (answer(&write, 400, r#"{"error":"Bad trait."}"#, 1), "Bad trait."),
        (answer(&write, 501, HTML, 1), "501"),
        (answer(&write, 404, r#"{"error":"Account not found."}"#, 1), "404"),
    ] {
        // Every account has something to write.
        for account in place.sandbox().accounts().list() {
            let mut account = account;
            let score = account["metrics"]["raw_score"].as_u64().unwrap();
            account["metrics"]["raw_score"] = json!(score + 1);
            assert!(place.sandbox().accounts().set(account));
        }
        place.fault(fault.clone());
        let run = place.sync(&[TO_VITALLY]).await;
        let failed = reasons(run.summary(), "failed");
        assert_eq!((run.code, failed.len()), (Some(1), 1), "{fault:?}: {run:#?}");
        assert!(failed[0].1.contains(reason) && run.stderr.contains(reason), "{fault:?}: {run:#?}");
        assert!(run.stderr.contains("FAILED"), "{run:#?}");
        // The account that failed may be the one that Accoil does not know.
        let written = run.summary()["written"].as_u64().unwrap();
        assert!(written >= 9, "{fault:?}: {run:#?}");
        let again = place.synced(&[TO_VITALLY]).await;
        assert_eq!([again["written"].as_u64().unwrap() + written, counts(&again)[2]], [10, 0]);
    }
}

/// A temporary 5xx is no failure: the call is retried.
#[tokio::test]
async fn temporary_failures_are_retried() {
    let place = Place::usual().await;
    for path in [LIST, LOOK_UP, &place.path("ext-12345")] {
        place.fault(answer(path, 503, HTML, 1));
        place.fault(Fault { path: Some(path.to_owned()), close: true, ..Fault::default() });
    }
    assert_eq!(counts(&place.synced(&[TO_VITALLY]).await), [10, 0, 0, 1, 1, 0]);
    assert_eq!(place.writes().values().map(Vec::len).sum::<usize>(), 10);
    place.fault(answer("/v2/group", 503, "", 3));
    assert_eq!(counts(&place.synced(&[TO_ACCOIL]).await), [11, 0, 0, 0, 1, 0]);
    assert_eq!(place.sandbox().total(), 11);
}

/// A fault of the system, not of the accounts.
#[tokio::test]
async fn twenty_failures_in_a_row_end_the_run_and_the_next_goes_on() {
    let place = Place::new(Options { accounts: 112, ..Options::default() }, BOTH).await;
    place.fault(answer(LOOK_UP, 200, HTML, 1_000));
    let run = place.sync(&[TO_VITALLY]).await;
    let ended = run.summary()["ended"].as_str().unwrap();
    assert!(run.code == Some(1) && ended.contains("20 failures in a row"), "{run:#?}");
    assert_eq!(counts(run.summary())[5], 20);
    place.sandbox().faults().clear();
    assert_eq!(counts(&place.synced(&[TO_VITALLY]).await)[0], 110);
}

/// If Accoil refuses the ingestion key, or the answer is not Accoil's, the run ends at the first answer. The next run
/// does the rest.
#[tokio::test]
async fn an_answer_about_the_destination_ends_the_run() {
    let one_at_a_time = BOTH.replace("mrr_unit", "concurrency = 1\nmrr_unit");
    let place = Place::new(Options::default(), &one_at_a_time).await;
    let group = |status| answer("/v2/group", status, r#"{"message":"no"}"#, 1);
    let asks_for_an_hour = Fault { retry_after: Some("3600".to_owned()), ..group(429) };
    for (fault, reason) in [
        (group(401), "key of destination accoil"),
        (group(403), "correct its api_key"),
        (group(404), "base_url"),
        (group(302), "base_url"),
        (asks_for_an_hour, "try again in 3600 s"),
    ] {
        place.fault(fault.clone());
        let run = place.sync(&[TO_ACCOIL]).await;
        let ended = run.summary()["ended"].as_str().unwrap_or_default();
        assert!(run.code == Some(1) && ended.contains(reason), "{fault:?}: {run:#?}");
        assert!(run.stderr.contains("11 left to the next run") && run.stderr.contains(reason), "{run:#?}");
        assert_eq!((&run.summary()["written"], &run.summary()["waiting"]), (&json!(0), &json!(11)));
        assert!(place.sandbox().faults().list().is_empty(), "one call was made: {fault:?}");
        assert_eq!(place.sandbox().total(), 0);
    }
    assert_eq!(counts(&place.synced(&[TO_ACCOIL]).await), [11, 0, 0, 0, 1, 0]);
    assert!(place.groups().values().all(|calls| calls.len() == 1), "{:?}", place.groups());
}

/// If Accoil refuses a call permanently, its account fails with the reason. The next run makes the call again.
#[tokio::test]
async fn a_refused_group_call_fails_its_account_alone() {
    let place = Place::usual().await;
    for written in [[9, 0], [0, 9]] {
        place.fault(answer("/v2/group", 422, r#"{"message":"bad group"}"#, 2));
        let run = place.sync(&[TO_ACCOIL]).await;
        let [written, unchanged] = written;
        assert_eq!(
            (run.code, counts(run.summary())),
            (Some(1), [written, unchanged, 0, 0, 1, 2]),
            "{run:#?}"
        );
        let failed = reasons(run.summary(), "failed");
        assert!(failed.iter().all(|(_, why)| why.contains("422") && why.contains("bad group")), "{run:#?}");
    }
    assert_eq!(counts(&place.synced(&[TO_ACCOIL]).await), [2, 9, 0, 0, 1, 0]);
    assert!(place.groups().len() == 11 && place.groups().values().all(|calls| calls.len() == 1));
}

/// What was written is recorded per destination: a new one gets every account, the other one gets nothing.
#[tokio::test]
async fn a_new_destination_gets_every_account() {
    let place = Place::usual().await;
    place.synced(&[TO_ACCOIL]).await;
    let other = "[[destinations]]\nname = \"other\"\napi_key = \"other-key\"\nbase_url = \"${SANDBOX}\"\n";
    place.configure(&format!("{BOTH}{other}"));
    place.fault(answer("/v2/group", 422, "", 1));
    assert_eq!(counts(place.sync(&[TO_ACCOIL]).await.summary()), [10, 0, 0, 0, 1, 1]);
    assert_eq!(counts(&place.synced(&[TO_ACCOIL]).await), [1, 10, 0, 0, 1, 0]);
    let keys = place.sandbox().received().into_iter().filter_map(|call| call.api_key);
    assert_eq!(keys.filter(|key| key == "other-key").count(), 11);
    assert_eq!(place.sandbox().total(), 22);
}

/// The syncs do not touch the outbox: neither waiting calls nor a failing destination affect them.
#[tokio::test]
async fn another_destinations_refused_key_ends_no_run() {
    let place = Place::usual().await;
    let source = "[[sources]]\nname = \"web\"\nkind = \"segment\"\ndestinations = [\"other\"]\n";
    let other = "[[destinations]]\nname = \"other\"\napi_key = \"old\"\nbase_url = \"${SANDBOX}\"\n";
    let toml = format!("{BOTH}{other}{source}[vitally_to_accoil]\ndestinations = [\"accoil\"]\n");
    let relay = Process::start(place.folder(), &toml, &place.served.url).await;
    place.fault(answer("/v2/track", 401, "", 1_000));
    let event = json!({"type": "track", "userId": "u1", "event": "E", "messageId": "1"}).to_string();
    assert_eq!(relay.post("/segment", &[], event).await.status, 200);
    super::until("the refusal", || relay.log().contains("refuses the key")).await;
    assert_eq!(counts(&place.synced(&[TO_ACCOIL]).await), [11, 0, 0, 0, 1, 0]);
    // They do not deliver the outbox when they run alone either.
    drop(relay);
    place.sandbox().faults().clear();
    assert_eq!(counts(&place.synced(&[TO_ACCOIL]).await), [0, 11, 0, 0, 1, 0]);
    assert!(place.sandbox().received().iter().all(|call| call.path == "/v2/group"));
}

/// After a kill, the relay asks nobody before it accepts events: Accoil's read API may be slow, and senders do not
/// wait for it.
#[tokio::test]
async fn after_a_kill_senders_wait_for_nothing() {
    let place = Place::usual().await;
    let source = "[[sources]]\nname = \"web\"\nkind = \"segment\"\n";
    let toml = format!("{BOTH}{source}");
    place.fault(answer("/v2/group", 503, "", 1_000));
    let relay = Process::start(place.folder(), &toml, &place.served.url).await;
    let mut command = place.start(TO_ACCOIL);
    super::until("calls in flight", || {
        place.sandbox().faults().list().iter().any(|fault| fault.times < 1_000)
    })
    .await;
    relay.kill();
    let _ = (command.kill(), command.wait());
    let path = Some(LOOK_UP.to_owned());
    place.fault(Fault { path, delay_ms: Some(60_000), times: 1_000, ..Fault::default() });
    let relay = Process::start(place.folder(), &toml, &place.served.url).await;
    let event = json!({"type": "track", "userId": "u1", "event": "E", "messageId": "1"}).to_string();
    assert_eq!(relay.post("/segment", &[], event).await.status, 200);
    super::until("its delivery", || place.sandbox().received().iter().any(|call| call.path == "/v2/track"))
        .await;
    assert!(place.sandbox().faults().list().iter().any(|fault| fault.times == 1_000), "nobody was asked");
}
