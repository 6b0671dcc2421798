//! Delivery to one destination, with its outbox and with time limits short enough for a test.

use std::sync::Arc;
use std::time::Duration;

use accoil_relay::accoil::Request;
use accoil_relay::decode::Form;
use accoil_relay::deliver::{self, Control, Endpoint, Pauses, Schedule, Status, Target};
use accoil_relay::facts::Facts;
use accoil_relay::outbox::{Accepted, Options, Outbox, Retention, Submission};
use accoil_relay::tasks::Tasks;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::relay::TEST_TIMEOUT;

const FOR_GOOD: Retention = Retention { age: Duration::from_secs(86_400), bytes: u64::MAX };

pub(super) struct Delivery {
    outbox: Outbox,
    tasks: Tasks,
    pub(super) status: watch::Receiver<Status>,
    _directory: TempDir,
}

impl Delivery {
    pub(super) fn start(base_url: &str) -> Self {
        Self::within(Duration::from_millis(300), Endpoint::new(base_url).unwrap())
    }

    /// With this time limit for connecting and for each call.
    pub(super) fn within(limit: Duration, endpoint: Endpoint) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(&Options {
            path: directory.path().join("relay.db"),
            deduplication_ids: 0,
            longest_window: Duration::ZERO,
            max_bytes: u64::MAX,
            min_free_disk: 0,
            dead_letters: FOR_GOOD,
            rejects: FOR_GOOD,
        });
        let (outbox, tasks) = (outbox.unwrap(), Tasks::new(&CancellationToken::new()));
        let status = deliver::start(&tasks, &outbox, &Facts::off(), target(endpoint, limit));
        Self { outbox, tasks, status, _directory: directory }
    }

    /// Accepts a request for each user and body.
    pub(super) async fn accept(&self, calls: impl IntoIterator<Item = (String, String)>) {
        let accepted = calls.into_iter().map(|(user, body)| Accepted {
            event: accoil_relay::event_id::EventId(1),
            original: Bytes::from_static(b"{}"),
            message_id: None,
            requests: vec![request(user, body)],
            warned: Vec::new(),
            title: None,
        });
        let submission = Submission {
            source: Arc::from("web"),
            form: Form::SegmentWebhook,
            received_at: chrono::Utc::now(),
            deduplication_window: Duration::ZERO,
            accepted: accepted.collect(),
            rejects: Vec::new(),
            skipped: Vec::new(),
            envelope: None,
            mappings: 0,
        };
        self.outbox.accept(submission).await.unwrap();
    }

    /// Returns the status as soon as the condition holds for it.
    pub(super) async fn until(&mut self, holds: impl FnMut(&Status) -> bool) -> Status {
        let reached = tokio::time::timeout(TEST_TIMEOUT, self.status.wait_for(holds)).await;
        let reached = reached.map(|status| status.unwrap().clone());
        reached.unwrap_or_else(|_| panic!("it came no further than {:?}", self.status.borrow()))
    }

    pub(super) async fn stop(self) {
        assert!(self.tasks.stop(TEST_TIMEOUT).await, "stopped in time");
        self.outbox.close().await;
    }
}

fn target(endpoint: Endpoint, limit: Duration) -> Target {
    Target {
        name: Arc::from("accoil"),
        endpoint: Arc::new(endpoint.with_connect_timeout(limit)),
        concurrency: 8,
        rate: None,
        timeout: limit,
        schedule: Schedule {
            initial: Duration::from_millis(20),
            longest: Duration::from_millis(100),
            most_age: Duration::from_secs(60),
            most_attempts: 1_000,
        },
        pauses: Pauses {
            shortest: Duration::from_millis(10),
            refused: Duration::from_millis(100),
            longest: Duration::from_millis(300),
        },
        control: Control::default(),
    }
}

fn request(user: String, body: String) -> Request {
    Request {
        destination: Arc::from("accoil"),
        mapping: Arc::from("Track Calls"),
        action: "track",
        path: "/v2/track",
        user,
        fingerprints: Vec::new(),
        warnings: String::new(),
        body: body.into_bytes(),
    }
}
