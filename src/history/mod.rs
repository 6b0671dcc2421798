//! The history: records what became of every event, and answers searches. Best effort, and bounded in size.
//!
//! The stages emit their facts through [`crate::facts`]. One thread records them: a line for each event, payloads within a budget,
//! counts over time. It never delays an event. Losing the history loses no event: the outbox keeps everything that must be
//! delivered or repaired. A [`Reader`] answers questions on any thread.
//!
//! - `intake`, `buffer`: facts become lines in memory, until their outcome is known.
//! - `block`, `bloom`, `store`: lines become packed blocks in a database file of their own.
//! - `recorder`: the thread; it keeps the file within its bounds.
//! - `reader`, `live`, `series`, `archive`: searches, live views, charts, and the files for events that leave.

pub mod archive;
mod block;
mod bloom;
mod buffer;
mod fields;
mod intake;
mod line;
mod live;
mod options;
mod reader;
mod recorder;
mod redact;
mod series;
mod store;

use std::hash::Hasher as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

pub use block::Payload;
pub use line::{Attempt, Call, Ending, Ids, Line, Outcome, Refusal, Shape, Status};
pub use live::{Live, Tick, TooMany, ViewerMessage};
pub use options::{Options, Payloads};
pub use reader::{
    Cursor, Event, Filter, Page, PastEvent, Picked, Picks, ReadError, Reader, RecordedEvent, Show, Step,
};
pub use redact::{HIDDEN, HiddenValues, Redactor, has_hidden};
pub use series::{Counters, Sample, Slot, Times};
pub use store::{OpenError, Version};

use crate::facts::{Inbox, LeftOutCounts};
use crate::tasks::Tasks;

/// The name under which the key for hashing user ids is stored.
const USER_KEY: &str = "user_key";

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mark {
    pub at: DateTime<Utc>,
    pub kind: String,
    pub text: String,
}

/// How far back the history goes, and how much it could not record.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct State {
    /// When the oldest event was received.
    pub since: Option<DateTime<Utc>>,
    pub events: u64,
    /// Events whose payload is kept.
    pub payloads: u64,
    /// The size of the file with its log, in bytes.
    pub bytes: u64,
    /// The largest size that the file may have; 0 if this process does not record.
    pub max_bytes: u64,
    /// Facts that came faster than they could be recorded, since the start.
    pub left_out: LeftOutCounts,
    /// Events that came while the file could not be written, since the start.
    pub not_recorded: u64,
    /// Why nothing is recorded at the moment, if so.
    pub paused: Option<String>,
    /// The number of live views.
    pub viewers: usize,
    /// The newest block in the file: its id, events and payloads.
    #[serde(skip)]
    newest: Option<(i64, u64, u64)>,
}

/// Opens the history and starts its thread. The thread ends when `tasks` is stopped, after it has written what it received.
pub fn start(options: Options, inbox: Inbox, counters: Counters, tasks: &Tasks) -> Result<Reader, OpenError> {
    let Options { path, keep, max_bytes, payload_rate, payloads, archive, redactor, hash_users } = options;
    let store = store::Store::open(&path, max_bytes)?;
    let failed = |source| OpenError::Database { path: path.clone(), source };
    let newest = store::newest(&store.connection).map_err(failed)?;
    let (block, first) = newest.map_or((1, 0), |head| (head.id + 1, head.first + i64::from(head.events)));
    let user_key = user_key(&store).map_err(failed)?;
    let buffer = buffer::Buffer::new(block, first, !redactor.is_off());
    let shared = Arc::new(recorder::Shared::new(buffer, max_bytes, user_key));
    let payload_rate = if payloads == Payloads::None { 0 } else { payload_rate };
    inbox.want_payloads(payload_rate, !redactor.is_off());
    let intake = intake::Intake::new(payloads, redactor.clone(), user_key, hash_users);
    let recorder = recorder::Recorder::new(recorder::RecorderParts {
        store,
        shared: Arc::clone(&shared),
        intake,
        inbox,
        counters,
        keep,
        archive,
    });
    let stop = tasks.stop_signal();
    tasks
        .spawn_thread("history", move || recorder.run(&stop))
        .map_err(|source| OpenError::Thread { path: path.clone(), source })?;
    Ok(Reader::of_recording(path, redactor, shared))
}

fn user_key(store: &store::Store) -> rusqlite::Result<[u8; 16]> {
    let known = store::state(&store.connection, USER_KEY)?;
    if let Some(key) = known.and_then(|key| key.try_into().ok()) {
        return Ok(key);
    }
    let key = uuid::Uuid::new_v4().into_bytes();
    store.set_state(USER_KEY, &key)?;
    Ok(key)
}

/// Returns a user id in its hidden form: `#` and twelve hexadecimal digits.
fn hashed(key: &[u8; 16], user: &str) -> String {
    let mut hasher = SipHasher13::new_with_key(key);
    hasher.write(user.as_bytes());
    format!("#{:012x}", hasher.finish128().as_u128() >> 80)
}

#[cfg(test)]
mod tests;
