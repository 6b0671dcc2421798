//! The recorder and its readers, by the module's public functions.

mod bounds;
mod damage;
mod found;
mod privacy;
mod watching;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::accoil::Request;
use crate::decode::Form;
use crate::event_id::EventId;
use crate::facts::{
    Accepted, Facts, Outcome, OutcomeKind, Outcomes, Received, Reject, SkippedEvent, Submission,
};
use crate::reasons::Reason;

/// A history that is recorded, as the relay does it.
struct History {
    folder: tempfile::TempDir,
    facts: Facts,
    reader: Reader,
    tasks: Tasks,
    options: Options,
}

impl History {
    fn start(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options {
            path: folder.path().join("relay.db.history"),
            keep: Duration::from_secs(7 * 24 * 3600),
            max_bytes: 64 << 20,
            payload_rate: u64::MAX,
            payloads: Payloads::Full,
            archive: None,
            redactor: Redactor::default(),
            hash_users: false,
        };
        change(&mut options);
        let (facts, reader, tasks) = record(&options);
        Self { folder, facts, reader, tasks, options }
    }

    /// Writes everything and stops; the file can be read then.
    async fn stop(&self) {
        assert!(self.tasks.stop(Duration::from_secs(20)).await, "the history's thread does not end");
    }

    async fn again(mut self) -> Self {
        self.stop().await;
        (self.facts, self.reader, self.tasks) = record(&self.options);
        self
    }

    fn path(&self) -> PathBuf {
        self.options.path.clone()
    }

    fn find(&self, filter: &Filter) -> Vec<EventId> {
        self.page(filter).lines.into_iter().map(|line| line.id).collect()
    }

    fn page(&self, filter: &Filter) -> Page {
        self.reader.search(filter, None, 1000).unwrap()
    }

    /// The line of this event, once it has this status.
    fn line(&self, id: EventId, status: Status) -> Line {
        wait_for(|| {
            let event = self.reader.event(id, Show::Whole).unwrap()?;
            let line = event.records.into_iter().next()?.line;
            (line.status() == status).then_some(line)
        })
    }

    /// Waits until this many events are recorded.
    fn wait_for_events(&self, events: u64) {
        wait_for(|| (self.reader.state().unwrap().events >= events).then_some(()));
    }
}

fn record(options: &Options) -> (Facts, Reader, Tasks) {
    let (facts, inbox) = Facts::channel();
    let tasks = Tasks::new(&CancellationToken::new());
    let counters: Counters = Box::new(|sample| sample.count(&["events", "web", "accepted"], 7));
    let reader = start(options.clone(), inbox, counters, &tasks).unwrap();
    (facts, reader, tasks)
}

fn wait_for<T>(mut what: impl FnMut() -> Option<T>) -> T {
    for _attempt in 0..2_000 {
        if let Some(found) = what() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("what was waited for did not happen");
}

/// Ids of now, in the order of their numbers.
fn id(number: u64) -> EventId {
    EventId((Utc::now().timestamp_millis().cast_unsigned() << 22) | number)
}

fn post() -> Submission {
    Submission {
        source: Arc::from("web"),
        form: Form::SegmentBatch,
        received_at: Utc::now(),
        deduplication_window: Duration::ZERO,
        accepted: Vec::new(),
        rejects: Vec::new(),
        skipped: Vec::new(),
        envelope: None,
        mappings: 5,
    }
}

fn original(user: &str, message_id: &str) -> Bytes {
    let text = format!(
        r#"{{"type":"track","event":"Signed Up","userId":"{user}","messageId":"{message_id}","traits":{{"email":"{user}@example.com"}}}}"#
    );
    Bytes::from(text)
}

fn accepted(event: EventId, user: &str, message_id: &str) -> Accepted {
    let request = Request {
        destination: Arc::from("accoil"),
        mapping: Arc::from("track"),
        action: "track",
        path: "/v2/track",
        user: user.to_owned(),
        fingerprints: Vec::new(),
        warnings: String::new(),
        body: format!(r#"{{"userId":"{user}","email":"{user}@example.com"}}"#).into_bytes(),
    };
    Accepted {
        event,
        original: original(user, message_id),
        message_id: Some(message_id.to_owned()),
        requests: vec![request],
        warned: Vec::new(),
        title: None,
    }
}

fn reject(event: EventId) -> Reject {
    Reject {
        event,
        original: Bytes::from_static(br#"{"type":"track","event":"Bad"}"#),
        envelope: Some(Arc::from("{}")),
        reasons: r#"[{"mapping":"track","field":"userId","reason":"is missing","code":"reject.missing"}]"#
            .to_owned(),
        code: Reason::of_code("reject.missing").unwrap(),
        refused_by: Vec::new(),
    }
}

fn skipped_event(event: EventId) -> SkippedEvent {
    let original = Bytes::from_static(br#"{"type":"alias","userId":"u9"}"#);
    SkippedEvent { event, original, message_id: None, reason: Reason::SkipAlias }
}

fn track(facts: &Facts, event: EventId, user: &str, message_id: &str) {
    facts.received(&Received::new(&Submission {
        accepted: vec![accepted(event, user, message_id)],
        ..post()
    }));
}

fn outcome(event: EventId, kind: OutcomeKind, text: &str) -> Outcome {
    let reason = match kind {
        OutcomeKind::Delivered | OutcomeKind::Held => None,
        _ => Some(Reason::Rejected),
    };
    Outcome {
        event,
        request: 0,
        attempt: 1,
        kind,
        reason,
        status: if kind == OutcomeKind::Delivered { 202 } else { 503 },
        took_us: 1500,
        at: Utc::now(),
        text: Bytes::from(text.to_owned()),
    }
}

fn settle(facts: &Facts, outcomes: impl IntoIterator<Item = Outcome>) {
    facts.outcomes(&Outcomes { destination: Arc::from("accoil"), outcomes: outcomes.into_iter().collect() });
}
