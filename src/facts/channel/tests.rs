//! The channel's bounds: what is left out first when the history thread does not keep up.

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;

use super::super::{Accepted, Outcome, OutcomeKind, Record, SkippedEvent, Submission, Title};
use super::queue::MAX_BYTES;
use super::*;
use crate::decode::Form;
use crate::event_id::EventId;
use crate::reasons::Reason;

fn post(bytes: usize) -> Submission {
    let skipped = SkippedEvent {
        event: EventId(1),
        original: Bytes::from(vec![b'x'; bytes]),
        message_id: None,
        reason: Reason::SkipAlias,
    };
    Submission {
        source: Arc::from("web"),
        form: Form::SegmentBatch,
        received_at: Utc::now(),
        deduplication_window: Duration::ZERO,
        accepted: Vec::new(),
        rejects: Vec::new(),
        skipped: vec![skipped],
        envelope: None,
        mappings: 0,
    }
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

/// Reads everything in the channel: for each event its id, the bytes of its original, and whether its payload is kept.
fn events(inbox: &Inbox) -> Vec<(u64, usize, bool)> {
    let mut events = Vec::new();
    while let Ok(Fact::Batch(batch)) = inbox.take(Duration::ZERO) {
        for record in batch.records() {
            if let Record::Event(event) = record {
                events.push((event.id.0, event.original.len(), event.is_kept));
            }
        }
        inbox.give_back(batch);
    }
    events
}

#[test]
fn a_full_channel_leaves_out_payloads_first_and_then_events() {
    let (facts, inbox) = Facts::channel();
    for _ in 0..12 {
        facts.received(&Received::new(&post(1 << 20)));
    }
    assert_eq!(facts.left_out(), LeftOutCounts { payloads: 4, events: 0, outcomes: 0 });
    for _ in 0..200_000 {
        facts.received(&Received::new(&post(1)));
    }
    let left_out = facts.left_out();
    assert!(left_out.events > 0 && left_out.payloads + left_out.events < 200_004, "{left_out:?}");
    let found = events(&inbox);
    assert_eq!(found.len() as u64 + left_out.events, 200_012);
    assert!(found.iter().all(|(_, bytes, is_kept)| *is_kept == (*bytes > 0)));
    assert!(found.iter().map(|(_, bytes, _)| bytes).sum::<usize>() <= MAX_BYTES);
    facts.received(&Received::new(&post(1 << 20)));
    assert_eq!(facts.left_out(), left_out, "there is room again");
}

/// Without its payload, the values to hide in an event could not be found, and would be in its line.
#[test]
fn an_event_with_values_to_hide_is_never_passed_on_without_its_payload() {
    let (facts, inbox) = Facts::channel();
    inbox.want_payloads(0, true);
    for _ in 0..13 {
        facts.received(&Received::new(&post(1 << 20)));
    }
    assert_eq!(facts.left_out(), LeftOutCounts { payloads: 0, events: 2, outcomes: 0 });
    assert_eq!(events(&inbox), [(1, 1 << 20, false); 11]);
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
    // The skipped event has no title.
    let [first, second] =
        [[(1, 5, false), (2, 0, false), (3, 2, false)], [(1, 5, true), (2, 2, true), (3, 2, true)]];
    for (rate, expected) in [(0, first), (u64::MAX, second)] {
        let (facts, inbox) = Facts::channel();
        inbox.want_payloads(rate, false);
        let mut received = post(5);
        received.accepted = vec![accepted(Some(title.clone())), accepted(None)];
        facts.received(&Received::new(&received));
        assert_eq!(events(&inbox), expected);
    }
}

#[test]
fn outcomes_have_a_bound_of_their_own() {
    let (facts, inbox) = Facts::channel();
    for _ in 0..70 {
        facts.outcomes(&turn(1000));
    }
    assert_eq!(facts.left_out(), LeftOutCounts { payloads: 0, events: 0, outcomes: 5_000 });
    drop(inbox);
    facts.outcomes(&turn(100));
    Facts::off().outcomes(&turn(100));
}

/// The history waits for facts only as long as some stage may send them.
#[test]
fn the_channel_ends_with_its_last_sender() {
    let (facts, inbox) = Facts::channel();
    let other = facts.clone();
    drop(facts);
    assert_eq!(inbox.take(Duration::ZERO).unwrap_err(), NoFact::Yet);
    other.received(&Received::new(&post(1)));
    drop(other);
    assert_eq!(events(&inbox), [(1, 1, true)]);
    assert_eq!(inbox.take(Duration::from_secs(60)).unwrap_err(), NoFact::Ever);
}

/// The memory of what many events share is bounded: it is numbered again, and the history learns it again.
#[test]
fn many_different_patterns_are_numbered_again() {
    let (facts, inbox) = Facts::channel();
    inbox.want_payloads(0, false);
    let mut known = Vec::new();
    let mut renumbered = 0;
    for mappings in 0..20_000 {
        let mut received = post(1);
        received.mappings = mappings;
        facts.received(&Received::new(&received));
        if mappings % 1000 != 999 {
            continue;
        }
        while let Ok(Fact::Batch(batch)) = inbox.take(Duration::ZERO) {
            if batch.is_renumbered {
                known.clear();
                renumbered += 1;
            }
            known.extend(batch.patterns.iter().map(|pattern| pattern.mappings));
            let patterns = batch.records().filter_map(|record| match record {
                Record::Event(event) => Some(known[event.pattern as usize]),
                _ => None,
            });
            assert!(patterns.is_sorted());
            inbox.give_back(batch);
        }
    }
    assert_eq!((renumbered, known.last()), (2, Some(&19_999)));
}
