//! Each outcome is recorded and found by its ids, in memory and in the file.

use super::*;

fn by(change: impl FnOnce(&mut Filter)) -> Filter {
    let mut filter = Filter::default();
    change(&mut filter);
    filter
}

fn check(history: &History, ids: &[EventId]) {
    let [delivered, waiting, dead, rejected, skipped, partly, copy, open] = *ids else { panic!("eight ids") };
    for (id, status) in [
        (delivered, Status::Delivered),
        (waiting, Status::Waiting),
        (dead, Status::Dead),
        (rejected, Status::Rejected),
        (skipped, Status::Skipped),
        (partly, Status::Accepted),
        (copy, Status::Duplicate),
        (open, Status::Accepted),
    ] {
        assert_eq!(history.line(id, status).shape.mappings, 5);
        assert!(history.find(&by(|filter| filter.statuses = vec![status])).contains(&id), "{status:?}");
    }
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (by(|filter| filter.user = text("u1")), vec![copy, delivered]),
        (by(|filter| filter.message_id = text("m2")), vec![waiting]),
        (by(|filter| filter.any = text("m3")), vec![dead]),
        (by(|filter| filter.any = text(&rejected.to_string().to_uppercase())), vec![rejected]),
        (by(|filter| filter.code = text("reject.missing")), vec![partly, rejected]),
        (by(|filter| filter.reason = text("is missing")), vec![partly, rejected]),
        (by(|filter| filter.text = text("try again later")), vec![waiting]),
        (by(|filter| filter.text = text("u3@example.com")), vec![dead]),
        (by(|filter| filter.name = text("Bad")), vec![rejected]),
        (by(|filter| filter.kind = text("alias")), vec![skipped]),
        (by(|filter| filter.source = text("other")), vec![]),
        (by(|filter| filter.to = Some(Utc::now() - Duration::from_secs(3600))), vec![]),
        (by(|filter| filter.user = text("nobody")), vec![]),
    ] {
        assert_eq!(history.find(&filter), expected, "{filter:?}");
    }
    let event = history.reader.event(delivered, Show::Whole).unwrap().unwrap();
    assert_eq!((event.first, event.copies), (None, vec![copy]));
    let payload = event.records[0].payload.as_ref().unwrap();
    assert_eq!(payload.original.as_bytes(), original("u1", "m1"));
    assert_eq!(&*payload.bodies[0], r#"{"userId":"u1","email":"u1@example.com"}"#);
    let attempt = event.records[0].line.last_attempt(0).unwrap();
    assert_eq!((attempt.ending.status, attempt.took_us, attempt.number), (202, 1500, 1));
    let event = history.reader.event(copy, Show::Whole).unwrap().unwrap();
    assert_eq!(event.first, Some(delivered));
    let event = history.reader.event(partly, Show::Whole).unwrap().unwrap();
    assert!(event.records[0].line.is_partly_rejected());
    assert!(history.reader.event(EventId(1), Show::Whole).unwrap().is_none());
}

#[tokio::test]
async fn every_outcome_is_found_in_memory_and_in_the_file() {
    let history = History::start(|_| {});
    let ids: Vec<EventId> = (0..8).map(id).collect();
    let [delivered, waiting, dead, rejected, skipped, partly, copy, open] = *ids else { panic!("eight ids") };
    let mut refused_in_part = reject(partly);
    refused_in_part.original = original("u6", "m6");
    let submission = Submission {
        accepted: vec![
            accepted(delivered, "u1", "m1"),
            accepted(waiting, "u2", "m2"),
            accepted(dead, "u3", "m3"),
            accepted(partly, "u6", "m6"),
            accepted(copy, "u1", "m1"),
            accepted(open, "u7", "m7"),
        ],
        rejects: vec![reject(rejected), refused_in_part],
        skipped: vec![skipped_event(skipped)],
        ..post()
    };
    history.facts.received(&Received { duplicates: &[4], ..Received::new(&submission) });
    settle(
        &history.facts,
        [
            outcome(delivered, OutcomeKind::Delivered, "{}"),
            outcome(waiting, OutcomeKind::Waits, "try again later"),
            outcome(dead, OutcomeKind::Dead, "no such user"),
        ],
    );
    check(&history, &ids);
    let history = history.again().await;
    check(&history, &ids);
}

#[tokio::test]
async fn an_outcome_that_comes_after_its_line_was_written_is_joined() {
    let history = History::start(|_| {});
    let event = id(1);
    track(&history.facts, event, "u1", "m1");
    settle(&history.facts, [outcome(event, OutcomeKind::Waits, "later")]);
    history.line(event, Status::Waiting);
    let history = history.again().await;
    settle(&history.facts, [outcome(event, OutcomeKind::Delivered, "")]);
    let line = history.line(event, Status::Delivered);
    assert_eq!(line.attempts.len(), 2);
    let history = history.again().await;
    assert_eq!(history.line(event, Status::Delivered), line);
    assert_eq!(history.page(&by(|filter| filter.statuses = vec![Status::Delivered])).lines, [line]);
    assert_eq!(history.find(&by(|filter| filter.statuses = vec![Status::Waiting])), []);
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap_or_a_double() {
    let mut history = History::start(|_| {});
    let first = id(0);
    for round in 0..3_u64 {
        let numbers = (round * 100)..(round * 100 + 100);
        let accepted = numbers.map(|number| accepted(EventId(first.0 + number), "u", &format!("m{number}")));
        history.facts.received(&Received::new(&Submission { accepted: accepted.collect(), ..post() }));
        history.wait_for_events((round + 1) * 100);
        if round < 2 {
            history = history.again().await;
        }
    }
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = history.reader.search(&Filter::default(), before, 7).unwrap();
        found.extend(page.lines.iter().map(|line| line.id.0 - first.0));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(found, (0..300).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_replay_of_an_event_is_a_record_of_its_own() {
    let history = History::start(|_| {});
    let event = id(1);
    history.facts.received(&Received::new(&Submission { rejects: vec![reject(event)], ..post() }));
    let submission = Submission { accepted: vec![accepted(event, "u1", "m1")], ..post() };
    history.facts.received(&Received { is_replay: true, ..Received::new(&submission) });
    settle(&history.facts, [outcome(event, OutcomeKind::Delivered, "")]);
    wait_for(|| {
        let event = history.reader.event(event, Show::Whole).unwrap()?;
        let of = |record: &RecordedEvent| (record.line.status(), record.line.is_replay);
        let records: Vec<_> = event.records.iter().map(of).collect();
        (records == [(Status::Rejected, false), (Status::Delivered, true)]).then_some(())
    });
}

#[tokio::test]
async fn mappings_marks_and_counts_outlive_a_restart() {
    let history = History::start(|_| {});
    let at = Utc::now();
    let document = Arc::from("{}");
    history.facts.mappings(crate::facts::Mappings { version: u64::MAX - 1, at, document });
    history.facts.mark(crate::facts::Mark { at, kind: "start", text: "accoil-relay".to_owned() });
    let history = history.again().await;
    let reader = &history.reader;
    assert_eq!(reader.mappings(u64::MAX - 1).unwrap().as_deref(), Some("{}"));
    assert_eq!(reader.versions().unwrap()[0].version, u64::MAX - 1);
    let (from, to) = (at - Duration::from_secs(3600), at + Duration::from_secs(3600));
    assert_eq!(reader.marks(from, to).unwrap()[0].kind, "start");
    wait_for(|| {
        let slots = reader.series(from, to, Step::Hour).unwrap();
        let counted: u64 = slots.iter().filter_map(|slot| slot.counts.get("events/web/accepted")).sum();
        // Seven of each run.
        (counted == 14).then_some(())
    });
}

/// The ids go on from where they were, and the times of receipt go back.
#[tokio::test]
async fn a_clock_that_is_set_back_hides_no_event() {
    let history = History::start(|_| {});
    let (now, hour) = (Utc::now(), chrono::Duration::hours(1));
    let mut ids = Vec::new();
    for (number, at) in [now, now - hour * 3, now - hour * 2, now + hour].into_iter().enumerate() {
        let id = id(number as u64);
        let submission = Submission {
            accepted: vec![accepted(id, "u1", &format!("m{number}"))],
            received_at: at,
            ..post()
        };
        history.facts.received(&Received::new(&submission));
        history.wait_for_events(number as u64 + 1);
        ids.push(id);
    }
    let of_time = |from, to| history.find(&Filter { from: Some(from), to: Some(to), ..Filter::default() });
    let half = hour / 2;
    assert_eq!(of_time(now - half, now + half), [ids[0]]);
    assert_eq!(of_time(now - hour * 4, now - half), [ids[2], ids[1]]);
    assert_eq!(of_time(now + half, now + hour * 2), [ids[3]]);
    history.stop().await;
    let reader = Reader::of_file(history.path(), Redactor::default());
    let picks = reader.pick(&Filter::default(), 10, || true).unwrap();
    assert_eq!(picks.events.len(), 4);
    let past = reader.past(&picks.events).unwrap();
    let found: Vec<_> = past.iter().map(|event| event.as_ref().unwrap().line.received_at).collect();
    let times = [now + hour, now - hour * 2, now - hour * 3, now].map(|time| time.timestamp_millis());
    assert_eq!(found, times, "the newest line first, whatever its time");
    assert!(past.iter().all(|event| event.as_ref().unwrap().payload.is_some()));
}
