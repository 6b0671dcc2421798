//! The channel's bounds: what is left out first when the history thread does not keep up.

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;

use super::super::{Accepted, Outcome, OutcomeKind, SkippedEvent, Submission, Title};
use super::*;
use crate::decode::Form;
use crate::event_id::EventId;
use crate::reasons::Reason;

fn post(bytes: usize) -> Received {
    let skipped = SkippedEvent {
        event: EventId(1),
        original: Bytes::from(vec![b'x'; bytes]),
        message_id: None,
        reason: Reason::SkipAlias,
    };
    let submission = Submission {
        source: Arc::from("web"),
        form: Form::SegmentBatch,
        received_at: Utc::now(),
        deduplication_window: Duration::ZERO,
        accepted: Vec::new(),
        rejects: Vec::new(),
        skipped: vec![skipped],
        envelope: None,
        mappings: 0,
    };
    Received { submission, duplicates: Vec::new(), is_replay: false }
}

fn turn(calls: usize) -> Outcomes {
    let outcome = Outcome {
        event: EventId(1),
        request: 0,
        attempt: 1,
        kind: OutcomeKind::Delivered,
        reason: None,
        status: 202,
        took_us: 5,
        at: Utc::now(),
        text: Bytes::new(),
    };
    Outcomes { destination: Arc::from("accoil"), outcomes: vec![outcome; calls] }
}

#[test]
fn a_full_channel_leaves_out_payloads_first_and_then_events() {
    let (facts, inbox) = Facts::channel();
    for _ in 0..17 {
        facts.received(post(1 << 20));
    }
    assert_eq!(facts.left_out(), LeftOutCounts { payloads: 6, events: 0, outcomes: 0 });
    for _ in 0..20_000 {
        facts.received(post(1));
    }
    let left_out = facts.left_out();
    assert!(left_out.events > 0 && left_out.payloads + left_out.events < 20_006, "{left_out:?}");
    let mut held = 0;
    while let Ok(fact) = inbox.take(Duration::ZERO) {
        let Fact::Received { received, kept, .. } = fact else { panic!("{fact:?}") };
        let is_empty = received.submission.skipped[0].original.is_empty();
        assert_eq!(kept.is_empty(), is_empty);
        held += received.submission.size();
    }
    assert!(held <= MAX_BYTES, "{held}");
    facts.received(post(1 << 20));
    assert_eq!(facts.left_out(), left_out, "there is room again");
}

/// Without its payload, the values to hide in an event could not be found, and would be in its line.
#[test]
fn an_event_with_values_to_hide_is_never_passed_on_without_its_payload() {
    let (facts, inbox) = Facts::channel();
    inbox.want_payloads(0, true);
    for _ in 0..17 {
        facts.received(post(1 << 20));
    }
    assert_eq!(facts.left_out(), LeftOutCounts { payloads: 0, events: 2, outcomes: 0 });
    while let Ok(fact) = inbox.take(Duration::ZERO) {
        let Fact::Received { received, kept, .. } = fact else { panic!("{fact:?}") };
        assert_eq!((received.submission.skipped[0].original.len(), kept.len()), (1 << 20, 0));
    }
}

#[test]
fn beyond_the_rate_only_what_names_an_event_is_passed_on() {
    let accepted = |title: Option<Title>| Accepted {
        event: EventId(if title.is_some() { 2 } else { 3 }),
        original: Bytes::from_static(b"{}"),
        message_id: None,
        requests: Vec::new(),
        warned: Vec::new(),
        title,
    };
    let title = Title::new("track", ["Signed Up", "", ""]);
    for (rate, kept_events, lengths) in [(0, vec![], [0, 2]), (u64::MAX, vec![1, 2, 3], [2, 2])] {
        let (facts, inbox) = Facts::channel();
        inbox.want_payloads(rate, false);
        let mut received = post(5);
        received.submission.accepted = vec![accepted(Some(title.clone())), accepted(None)];
        facts.received(received);
        let fact = inbox.take(Duration::ZERO).unwrap();
        let Fact::Received { received, kept, .. } = fact else { panic!("{fact:?}") };
        assert_eq!(kept, kept_events.into_iter().map(EventId).collect::<Vec<_>>());
        let found: Vec<usize> =
            received.submission.accepted.iter().map(|event| event.original.len()).collect();
        assert_eq!(found, lengths);
        assert_eq!(received.submission.skipped[0].original.len(), 5, "it has no title");
    }
}

#[test]
fn outcomes_have_a_bound_of_their_own() {
    let (facts, inbox) = Facts::channel();
    for _ in 0..70 {
        facts.outcomes(turn(1000));
    }
    assert_eq!(facts.left_out(), LeftOutCounts { payloads: 0, events: 0, outcomes: 5_000 });
    drop(inbox);
    facts.outcomes(turn(100));
    Facts::off().outcomes(turn(100));
}
