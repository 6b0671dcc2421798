//! Every outcome of an event is recorded, with its reason, and found by each of the event's ids.

use accoil_relay::history::Outcome;
use accoil_relay::sandbox::Fault;

use super::*;

fn fault(user: &str, status: u16, times: u64) -> Fault {
    Fault { status: Some(status), user: Some(user.to_owned()), times, ..Fault::default() }
}

#[tokio::test]
async fn every_outcome_is_recorded_and_found() {
    let relay = TestRelay::start(&with("[deliver]\nretry_initial = \"10ms\"\nretry_max = \"50ms\"\n")).await;
    let reader = relay.relay.history.clone();
    relay.sandbox.faults().add(fault("retried", 503, 2)).unwrap();
    relay.sandbox.faults().add(fault("waiting", 503, 1_000_000)).unwrap();
    relay.sandbox.faults().add(fault("dead", 422, 1)).unwrap();

    let delivered = post(&relay, &track("delivered", "m-delivered")).await;
    let copy = post(&relay, &track("delivered", "m-delivered")).await;
    let retried = post(&relay, &track("retried", "m-retried")).await;
    let dead = post(&relay, &track("dead", "m-dead")).await;
    let rejected =
        post(&relay, r#"{"type":"track","event":"Nobody","messageId":"m-none","writeKey":"web-key"}"#).await;
    let skipped =
        id_of(&relay.post("/v1/alias", &[], r#"{"userId":"a","previousId":"b","writeKey":"web-key"}"#).await);
    let warned = r#"{"type":"identify","userId":"warned","messageId":"m-warned","writeKey":"web-key",
        "traits":{"email":5,"createdAt":"no time"}}"#;
    let warned = id_of(&relay.post("/v1/identify", &[], warned).await);
    // The calls that keep failing come last, because they can pause the destination for every user.
    for id in [delivered, retried, warned] {
        recorded(&reader, id, Status::Delivered).await;
    }
    let waiting = post(&relay, &track("waiting", "m-waiting")).await;
    let line_of_waiting = recorded(&reader, waiting, Status::Waiting).await;
    let behind = post(&relay, &track("waiting", "m-behind")).await;
    let unreadable = relay.post("/segment", &[("x-api-key", "web-key")], "{\"type\":").await;
    assert_eq!(unreadable.status, 400);

    for (id, status, code) in [
        (delivered, Status::Delivered, None),
        (copy, Status::Duplicate, Some("duplicate")),
        (retried, Status::Delivered, Some("delivery.server-error")),
        (dead, Status::Dead, None),
        (rejected, Status::Rejected, None),
        (skipped, Status::Skipped, None),
        (warned, Status::Delivered, None),
        (behind, Status::Waiting, None),
    ] {
        let event = recorded(&reader, id, status).await;
        let codes: Vec<_> = line(&event).codes().map(str::to_owned).collect();
        match code {
            Some("duplicate") => assert_eq!(codes, ["duplicate"]),
            None if matches!(status, Status::Delivered) => assert_eq!(codes, [""; 0], "{event:?}"),
            _ => assert!(!codes.is_empty(), "{event:?}"),
        }
        assert!(line(&event).has_payload, "{event:?}");
    }
    let event = recorded(&reader, retried, Status::Delivered).await;
    let outcomes: Vec<_> = line(&event).attempts.iter().map(|attempt| attempt.ending.outcome).collect();
    assert_eq!(outcomes, [Outcome::Waits, Outcome::Waits, Outcome::Delivered]);
    let event = recorded(&reader, copy, Status::Duplicate).await;
    assert_eq!(event.first, Some(delivered));
    assert!(line(&line_of_waiting).last_attempt(0).unwrap().took_us > 0);
    until("the call behind another", || {
        let event = reader.event(behind, Show::Whole).ok()??;
        let is_behind = |outcome| outcome == Outcome::Behind;
        line(&event).attempts.iter().any(|attempt| is_behind(attempt.ending.outcome)).then_some(())
    })
    .await;

    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (by(|filter| filter.user = text("dead")), vec![dead]),
        (by(|filter| filter.message_id = text("m-retried")), vec![retried]),
        (by(|filter| filter.any = text("m-rejected-no")), vec![]),
        (by(|filter| filter.any = text(&skipped.to_string())), vec![skipped]),
        (by(|filter| filter.statuses = vec![Status::Duplicate]), vec![copy]),
        (by(|filter| filter.name = text("Nobody")), vec![rejected]),
    ] {
        assert_eq!(found(&reader, &filter), expected, "{filter:?}");
    }
    until("the unreadable body", || {
        let page = reader.search(&by(|filter| filter.code = text("unreadable")), None, 10).unwrap();
        (page.lines.len() == 1).then_some(())
    })
    .await;

    // The same after a restart. The waiting calls continue.
    relay.sandbox.faults().clear();
    let relay = relay.restart().await;
    let reader = relay.relay.history.clone();
    for (id, status) in [
        (delivered, Status::Delivered),
        (dead, Status::Dead),
        (rejected, Status::Rejected),
        (waiting, Status::Delivered),
        (behind, Status::Delivered),
    ] {
        recorded(&reader, id, status).await;
    }
    relay.stop().await;
}

/// The members of a batch that apply to all events are kept with each event.
#[tokio::test]
async fn the_envelope_of_a_batch_is_kept() {
    let relay = TestRelay::usual().await;
    let batch = r#"{"writeKey":"web-key","context":{"groupId":"g1"},"batch":[
        {"type":"track","event":"A","userId":"u1","messageId":"m1"},{"type":"track","event":"B","userId":"u1","messageId":"m2"}]}"#;
    assert_eq!(relay.post("/v1/batch", &[], batch).await.status, 200);
    let reader = relay.relay.history.clone();
    let filter = by(|filter| filter.message_id = Some("m2".to_owned()));
    let id = until("the event", || found(&reader, &filter).first().copied()).await;
    let event = recorded(&reader, id, Status::Delivered).await;
    let payload = event.records[0].payload.as_ref().unwrap();
    assert!(payload.envelope.as_ref().unwrap().contains("g1"), "{payload:?}");
    assert!(!payload.original.contains("web-key") && payload.bodies.len() == 1, "{payload:?}");
    relay.stop().await;
}

/// Charts have the counts of `/metrics`, and changes of state are marked.
#[tokio::test]
async fn counts_and_changes_of_state_are_kept_over_time() {
    let relay = TestRelay::usual().await;
    let begin = chrono::Utc::now();
    relay.sandbox.faults().add(Fault { status: Some(401), times: 1_000_000, ..Fault::default() }).unwrap();
    let event = post(&relay, &track("u1", "m1")).await;
    let reader = relay.relay.history.clone();
    let (from, to) = (begin - Duration::from_secs(60), begin + Duration::from_secs(3600));
    until("the mark of the refused key", || {
        let marks = reader.marks(from, to).unwrap();
        marks
            .iter()
            .find(|mark| mark.kind == "destination" && mark.text.contains("credentials refused"))
            .map(drop)
    })
    .await;
    relay.sandbox.faults().clear();
    let relay = relay.restart().await;
    let reader = relay.relay.history.clone();
    recorded(&reader, event, Status::Delivered).await;
    until("the counts", || {
        let slots = reader.series(from, to, accoil_relay::history::Step::Hour).unwrap();
        let count = |name: &str| slots.iter().filter_map(|slot| slot.counts.get(name)).sum::<u64>();
        ((count("accepted/web"), count("delivered/accoil")) == (1, 1)).then_some(())
    })
    .await;
    let marks: Vec<_> = reader.marks(from, to).unwrap().into_iter().map(|mark| mark.kind).collect();
    assert_eq!((marks[0].as_str(), marks.iter().filter(|kind| *kind == "start").count()), ("start", 2));
    assert!(marks.contains(&"stop".to_owned()), "{marks:?}");
    relay.stop().await;
}
