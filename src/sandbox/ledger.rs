//! The requests that the sandbox received: the newest are kept, within a number and a size, and all are counted.
//!
//! Requests are kept as bytes and parsed only when they are shown, so that recording one costs almost nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use tokio::sync::watch;

/// The bytes kept of accepted requests, and separately of refused ones. The oldest go first. Without this limit,
/// thousands of requests of the largest size would be kept.
const KEPT_BYTES: usize = 64 * 1024 * 1024;

/// One request as it is stored.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    /// `None` if it was over the limit.
    pub(super) body: Option<Box<[u8]>>,
    pub(super) status: Option<StatusCode>,
}

impl Call {
    fn size(&self) -> usize {
        let authorization = self.authorization.as_ref().map_or(0, String::len);
        let body = self.body.as_ref().map_or(0, |body| body.len());
        self.path.len() + authorization + body
    }
}

/// A stored request with its sequence number and time.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) at: DateTime<Utc>,
    pub(super) call: Call,
}

/// The newest entries, limited in number and in bytes.
#[derive(Debug)]
pub(super) struct Recent<T> {
    /// Each entry with its size.
    entries: VecDeque<(T, usize)>,
    bytes: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), bytes: 0 }
    }
}

impl<T> Recent<T> {
    pub(super) fn push(&mut self, entry: T, size: usize, keep: usize) {
        self.bytes += size;
        self.entries.push_back((entry, size));
        while self.entries.len() > keep || self.bytes > KEPT_BYTES {
            let Some((_, size)) = self.entries.pop_front() else { break };
            self.bytes -= size;
        }
    }

    /// Returns the entries, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(entry, _)| entry)
    }
}

#[derive(Debug, Default)]
struct Lists {
    last_sequence: u64,
    received: Recent<Arc<Entry>>,
    refused: Recent<Arc<Entry>>,
}

/// A copy of both lists, oldest first.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) received: Vec<Arc<Entry>>,
    pub(super) refused: Vec<Arc<Entry>>,
}

/// All recorded requests, and the total that tests wait for.
#[derive(Debug)]
pub(super) struct Ledger {
    keep: usize,
    total: watch::Sender<u64>,
    lists: Mutex<Lists>,
}

impl Ledger {
    pub(super) fn new(keep: usize) -> Self {
        Self { keep, total: watch::Sender::new(0), lists: Mutex::default() }
    }

    /// Counts a request if it was accepted, and keeps it. `call` is run only if requests are kept.
    pub(super) fn record(&self, accepted: bool, call: impl FnOnce() -> Call) {
        if self.keep > 0 {
            self.keep(accepted, call());
        }
        // Counted after it is in the list: a test that waits for the count then finds the request there.
        if accepted {
            self.total.send_modify(|total| *total += 1);
        }
    }

    fn keep(&self, accepted: bool, call: Call) {
        let mut lists = self.lists();
        lists.last_sequence += 1;
        let size = call.size();
        let entry = Entry { sequence: lists.last_sequence, at: Utc::now(), call };
        let list = if accepted { &mut lists.received } else { &mut lists.refused };
        list.push(Arc::new(entry), size, self.keep);
    }

    pub(super) fn total(&self) -> u64 {
        *self.total.borrow()
    }

    pub(super) async fn wait_for(&self, count: u64, timeout: Duration) -> bool {
        let mut total = self.total.subscribe();
        let reached = total.wait_for(|total| *total >= count);
        tokio::time::timeout(timeout, reached).await.is_ok_and(|reached| reached.is_ok())
    }

    /// Removes the requests and resets the count. Sequence numbers continue, so that `after` stays valid.
    pub(super) fn clear(&self) {
        let mut lists = self.lists();
        lists.received = Recent::default();
        lists.refused = Recent::default();
        drop(lists);
        self.total.send_replace(0);
    }

    /// Copies both lists, so that reading them does not block new requests.
    pub(super) fn snapshot(&self) -> Snapshot {
        let lists = self.lists();
        let copy = |list: &Recent<_>| list.iter().cloned().collect();
        Snapshot { received: copy(&lists.received), refused: copy(&lists.refused) }
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
