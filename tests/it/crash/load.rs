//! Senders that post batches to the running relay. Each waits for its 200 before it continues.
//!
//! Most events are delivered. Every third batch has an event that Accoil refuses, which becomes a dead letter, and every third
//! has one without a user, which becomes a reject. Every second batch is large.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use accoil_relay::sandbox::Fault;
use http::Method;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::oracle::{AcknowledgedBatches, Event};
use crate::http::try_send;
use crate::relay::{TEST_TIMEOUT, USUAL};
use crate::sandbox::RunningSandbox;

pub(crate) const SENDERS: usize = 6;
/// The users of one sender; each batch has an event of every one.
pub(crate) const USERS: usize = 5;

/// Retries come soon, so that a run has many of them.
pub(crate) fn configuration() -> String {
    format!(
        "{USUAL}concurrency = 8\n[server]\nshutdown_timeout = \"20s\"\n\
         [deliver]\nretry_initial = \"20ms\"\nretry_max = \"100ms\"\n\
         [history]\nurl = \"off\"\n"
    )
}

/// The events of a batch whose calls arrive, in their order.
pub(crate) fn delivered(sender: usize, number: usize) -> impl Iterator<Item = Event> {
    (0..USERS).map(move |user| Event { user: format!("{sender}-{user}"), number })
}

/// The event of a batch that becomes a dead letter.
pub(crate) fn dead(sender: usize, number: usize) -> Option<Event> {
    number.is_multiple_of(3).then(|| Event { user: dead_user(sender), number })
}

/// The event of a batch that becomes a reject.
pub(crate) fn rejected(sender: usize, number: usize) -> Option<Event> {
    (number % 3 == 1).then(|| Event { user: format!("{sender}-nobody"), number })
}

fn dead_user(sender: usize) -> String {
    format!("{sender}-dead")
}

/// Accoil refuses every call of these users.
pub(crate) fn refuse_dead_users(served: &RunningSandbox) {
    for sender in 0..SENDERS {
        let user = Some(dead_user(sender));
        let refused = Fault { user, status: Some(400), times: u64::MAX, ..Fault::default() };
        served.sandbox.faults().add(refused).unwrap();
    }
}

pub(crate) fn batch(sender: usize, number: usize) -> String {
    let track = |event: &Event| {
        json!({
            "type": "track", "userId": event.user, "event": event.number.to_string(),
            "messageId": event.to_string(), "timestamp": "2026-01-02T03:04:05Z",
        })
    };
    let filler = "x".repeat(if number.is_multiple_of(2) { 10_000 } else { 10 });
    let large = delivered(sender, number).map(|event| {
        let mut event = track(&event);
        event["properties"] = json!({"filler": filler});
        event
    });
    let without_user = rejected(sender, number).map(|event| {
        let mut event = track(&event);
        event.as_object_mut().unwrap().remove("userId");
        event
    });
    let events: Vec<_> =
        large.chain(dead(sender, number).map(|event| track(&event))).chain(without_user).collect();
    json!({"batch": events, "writeKey": "web-key"}).to_string()
}

/// The senders. They run until they are stopped.
pub(crate) struct Load {
    url: Arc<Mutex<String>>,
    stop: CancellationToken,
    is_paused: watch::Sender<bool>,
    senders: JoinSet<()>,
    acknowledged: Arc<Mutex<AcknowledgedBatches>>,
}

impl Load {
    /// `on_answer` is called with the sender and the number of each batch as soon as its 200 has arrived.
    pub(crate) fn start(url: String, on_answer: impl Fn(usize, usize) + Send + Sync + 'static) -> Self {
        let on_answer = Arc::new(on_answer);
        let (url, acknowledged) =
            (Arc::new(Mutex::new(url)), Arc::new(Mutex::new(AcknowledgedBatches::new())));
        let (stop, is_paused) = (CancellationToken::new(), watch::Sender::new(false));
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let (url, stop, on_answer) = (Arc::clone(&url), stop.clone(), Arc::clone(&on_answer));
            let (acknowledged, mut is_paused) = (Arc::clone(&acknowledged), is_paused.subscribe());
            senders.spawn(async move {
                for number in 0.. {
                    let may_go_on = is_paused.wait_for(|is_paused| !is_paused).await.is_ok();
                    if stop.is_cancelled() || !may_go_on {
                        return;
                    }
                    post(&url, sender, number).await;
                    on_answer(sender, number);
                    acknowledged.lock().unwrap().insert(sender, number + 1);
                }
            });
        }
        Self { url, stop, is_paused, senders, acknowledged }
    }

    /// A sender that is paused sends no further batch.
    pub(crate) fn pause(&self, is_paused: bool) {
        self.is_paused.send_replace(is_paused);
    }

    pub(crate) fn turn_to(&self, url: String) {
        *self.url.lock().unwrap() = url;
    }

    /// Returns the number of batches answered with 200 so far, of all senders.
    pub(crate) fn batches(&self) -> usize {
        self.acknowledged.lock().unwrap().values().sum()
    }

    /// Returns when each sender has the answer to its last batch.
    pub(crate) async fn finish(self) -> AcknowledgedBatches {
        self.stop.cancel();
        self.pause(false);
        tokio::time::timeout(TEST_TIMEOUT, self.senders.join_all()).await.unwrap();
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }
}

/// Posts a batch. If the answer is not 200, the batch is sent again with the same ids, as SDKs do.
async fn post(url: &Mutex<String>, sender: usize, number: usize) {
    let batch = batch(sender, number);
    loop {
        let target = url.lock().unwrap().clone();
        match try_send(Method::POST, &target, &[], batch.clone()).await {
            Ok(answer) if answer.status == 200 => return,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Returns the events of all answered batches, of all senders.
pub(crate) fn events<I: IntoIterator<Item = Event>>(
    acknowledged: &BTreeMap<usize, usize>,
    of_batch: impl Fn(usize, usize) -> I,
) -> Vec<Event> {
    acknowledged
        .iter()
        .flat_map(|(sender, batches)| (0..*batches).map(move |number| (*sender, number)))
        .flat_map(|(sender, number)| of_batch(sender, number))
        .collect()
}
