//! The channel's bounds: what is left out first when the history thread does not keep up.

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;

use super::super::{Outcome, OutcomeKind, SkippedEvent, Submission};
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
