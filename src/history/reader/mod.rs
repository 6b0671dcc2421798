//! Answers questions about the history, on any thread, beside a running relay or without one.
//!
//! Every question opens its own connection that only reads, so no question waits for another. Each blocks on the disk, so a task
//! must ask on a blocking thread. A question reads the events in memory first, then the blocks, the newest first.

mod event;
mod filter;
mod late;
mod past;
mod search;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

pub use event::{Event, RecordedEvent, Show};
pub(super) use filter::CompiledFilter;
pub use filter::Filter;
pub use past::{PastEvent, Picked, Picks};
pub use search::{Cursor, Page};

use super::live::{Live, TooMany};
use super::recorder::Shared;
use super::redact::Redactor;
use super::series::Slot;
use super::store::{self, OpenError};
use super::{Mark, State, Version};

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the history is off: `url` in [history] is \"off\"")]
    Off,
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the history cannot be read: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("a block of the history is not as it was written")]
    Damaged,
}

/// Answers questions about one history. Clones read the same one.
#[derive(Debug, Clone)]
pub struct Reader(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    redactor: Redactor,
    /// The events that are only in memory, if this process records.
    recording: Option<Arc<Shared>>,
}

impl Reader {
    /// A reader that answers every question with [`ReadError::Off`].
    pub const fn off() -> Self {
        Self(None)
    }

    /// A reader of a file that another process may be recording into. `redactor` hides values.
    pub fn of_file(path: PathBuf, redactor: Redactor) -> Self {
        Self(Some(Arc::new(Inner { path, redactor, recording: None })))
    }

    pub(super) fn of_recording(path: PathBuf, redactor: Redactor, recording: Arc<Shared>) -> Self {
        Self(Some(Arc::new(Inner { path, redactor, recording: Some(recording) })))
    }

    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the events that match the filter, the newest first, at most `most`. Stops early if it has searched long enough; the
    /// page says how far it came.
    pub fn search(&self, filter: &Filter, before: Option<Cursor>, most: usize) -> Result<Page, ReadError> {
        search::search(self.inner()?, filter, before, most, false)
    }

    /// The same with payloads.
    pub fn search_whole(
        &self,
        filter: &Filter,
        before: Option<Cursor>,
        most: usize,
        show: Show,
    ) -> Result<Page, ReadError> {
        let inner = self.inner()?;
        let mut page = search::search(inner, filter, before, most, true)?;
        if show == Show::Hidden {
            page.payloads.iter_mut().flatten().for_each(|payload| inner.redactor.hide(payload));
        }
        Ok(page)
    }

    /// Returns everything that is known of one event; `None` if the history does not have it.
    pub fn event(&self, id: crate::event_id::EventId, show: Show) -> Result<Option<Event>, ReadError> {
        event::event(self.inner()?, id, show)
    }

    /// Returns the events that match the filter, without replays, at most `most` and one more. `go_on` is asked after every page.
    pub fn pick(&self, filter: &Filter, most: usize, go_on: impl Fn() -> bool) -> Result<Picks, ReadError> {
        past::pick(self.inner()?, filter, most, go_on)
    }

    /// Returns what is kept of picked events, with all their attempts; `None` for one that has left the history.
    pub fn past(&self, picked: &[Picked]) -> Result<Vec<Option<PastEvent>>, ReadError> {
        past::past(self.inner()?, picked)
    }

    /// Returns a name of this history that differs from that of every other relay's.
    pub fn name(&self) -> Result<String, ReadError> {
        Ok(hashed(&self.inner()?.connect()?, "the name of this history"))
    }

    /// Returns a live view of new events that match the filter.
    pub fn live(&self, filter: Filter) -> Result<Result<Live, TooMany>, ReadError> {
        let recording = self.inner()?.recording.as_ref().ok_or(ReadError::Off)?;
        Ok(recording.live.subscribe(filter, |user| recording.hashed(user)))
    }

    /// Returns the known versions of the mappings, the newest first.
    pub fn versions(&self) -> Result<Vec<Version>, ReadError> {
        Ok(store::versions(&self.inner()?.connect()?)?)
    }

    /// Returns the document of a version of the mappings, by which an event of that time can be explained.
    pub fn mappings(&self, version: u64) -> Result<Option<String>, ReadError> {
        Ok(store::mappings(&self.inner()?.connect()?, version)?)
    }

    /// Returns counts over time, the oldest slot first. For the last hour slots of ten seconds are possible, else of a minute or an
    /// hour.
    pub fn series(&self, from: DateTime<Utc>, to: DateTime<Utc>, step: Step) -> Result<Vec<Slot>, ReadError> {
        let inner = self.inner()?;
        if step == Step::TenSeconds {
            let recording = inner.recording.as_ref().ok_or(ReadError::Off)?;
            return Ok(recording.series().recent(from, to));
        }
        // This includes the slot that contains the beginning of the time.
        let (from, to) = (super::series::begin(from.timestamp_millis(), step), to.timestamp_millis());
        let rows = store::series_rows(&inner.connect()?, step.milliseconds(), from, to)?;
        Ok(rows.iter().filter_map(|(at, body)| Slot::unpack(*at, body)).collect())
    }

    /// Returns changes of state in this time, the oldest first, at most a thousand.
    pub fn marks(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Mark>, ReadError> {
        const MOST: usize = 1000;
        let (from, to) = (from.timestamp_millis(), to.timestamp_millis());
        let marks = store::marks(&self.inner()?.connect()?, from, to, MOST)?;
        Ok(marks.into_iter().map(|(at, kind, text)| Mark { at: super::line::time(at), kind, text }).collect())
    }

    /// Returns why nothing is recorded at the moment, if so.
    pub fn paused(&self) -> Option<String> {
        self.0.as_ref()?.recording.as_ref()?.paused()
    }

    /// Returns how far back the history goes, how large it is, and how much it could not record.
    pub fn state(&self) -> Result<State, ReadError> {
        let inner = self.inner()?;
        let connection = inner.connect()?;
        let mut state = State::default();
        store::each_head(&connection, i64::MAX, |head| -> Result<bool, ReadError> {
            // The oldest block is the last one. A replay in a later block has the time of its first receipt.
            state.since = Some(super::line::time(head.from));
            let (events, payloads) = (u64::from(head.events), u64::from(head.payloads));
            state.newest = state.newest.or(Some((head.id, events, payloads)));
            state.events += events;
            state.payloads += payloads;
            Ok(true)
        })?;
        let size = |ending: &str| {
            let mut path = inner.path.clone().into_os_string();
            path.push(ending);
            std::fs::metadata(path).map_or(0, |metadata| metadata.len())
        };
        state.bytes = size("") + size("-wal");
        if let Some(recording) = &inner.recording {
            recording.complete(&mut state);
        }
        Ok(state)
    }

    fn inner(&self) -> Result<&Inner, ReadError> {
        self.0.as_deref().ok_or(ReadError::Off)
    }
}

impl Inner {
    fn connect(&self) -> Result<Connection, ReadError> {
        Ok(store::open_reader(&self.path)?)
    }
}

/// Returns a user id in its hidden form.
fn hashed(connection: &Connection, user: &str) -> String {
    let key = store::state(connection, super::USER_KEY).ok().flatten();
    key.and_then(|key| key.try_into().ok()).map_or_else(String::new, |key| super::hashed(&key, user))
}

/// The length of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// For the last hour, and only in the running relay.
    TenSeconds,
    Minute,
    Hour,
}

impl Step {
    pub const fn milliseconds(self) -> i64 {
        match self {
            Self::TenSeconds => 10_000,
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }
}
