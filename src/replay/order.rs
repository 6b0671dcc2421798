//! What a replay or a purge is asked to do, and the answers before and while it does it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::history::{self, Status};
use crate::outbox::{self, ChangeError, Filter, Job, Kind, ReadError};

/// Events per second of a replay that names no rate.
const DEFAULT_RATE: u32 = 200;
/// The past events of one replay.
pub(super) const MAX_PAST: usize = 1_000_000;
/// The statuses of past events. What failed or waits is in the outbox and is sent from there, once.
pub(super) const PAST: [Status; 3] = [Status::Delivered, Status::Held, Status::Skipped];

/// Which stored events.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Select {
    /// Calls that can never be delivered as they are.
    DeadLetter(Failures),
    /// Events that were refused.
    Reject(Failures),
    /// Delivered and skipped events of the history.
    Event(PastSelect),
}

/// Which failures: all that is given must hold; without any condition all of the kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Failures {
    pub filter: Filter,
    /// Only these numbers; an empty list selects nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<i64>>,
}

/// Which past events: all that is given must hold. Without a status, those that were delivered, held or skipped.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PastSelect {
    pub filter: history::Filter,
    /// Search the archive, too.
    pub archive: bool,
    /// The name of the history in which they were counted. Other relays with the same outbox leave such a job alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
}

impl Select {
    /// All failures of this kind that match.
    pub fn failures(kind: Kind, filter: Filter) -> Self {
        let failures = Failures { filter, ids: None };
        match kind {
            Kind::DeadLetter => Self::DeadLetter(failures),
            Kind::Reject => Self::Reject(failures),
        }
    }
}

impl Failures {
    /// `None` if it selects nothing.
    pub(super) fn filter(&self) -> Option<Filter> {
        match &self.ids {
            None => Some(self.filter.clone()),
            Some(ids) if ids.is_empty() => None,
            Some(ids) if self.filter.ids.is_empty() => {
                Some(Filter { ids: ids.clone(), ..self.filter.clone() })
            }
            Some(ids) => {
                let both: Vec<i64> = ids.iter().copied().filter(|id| self.filter.ids.contains(id)).collect();
                (!both.is_empty()).then(|| Filter { ids: both, ..self.filter.clone() })
            }
        }
    }
}

impl PastSelect {
    fn check(&self) -> Result<(), JobError> {
        let filter = &self.filter;
        if filter.statuses.iter().any(|status| !PAST.contains(status)) {
            return Err(JobError::Status);
        }
        let of_calls = [&filter.destination, &filter.mapping, &filter.reason, &filter.code];
        if self.archive && of_calls.iter().any(|one| one.is_some()) {
            return Err(JobError::ArchiveFilter);
        }
        Ok(())
    }
}

/// The same conditions for events of the history. Numbers and groups of failures select none of them.
pub fn of_history(filter: &Filter) -> history::Filter {
    let filter = filter.clone();
    let Filter { destination, source, code, user, event, message_id, reason, text, since, until, .. } =
        filter;
    let is_id = event.as_deref().is_some_and(|event| event.parse::<crate::event_id::EventId>().is_ok());
    let (any, name) = if is_id { (event, None) } else { (None, event) };
    history::Filter {
        destination,
        source,
        code,
        user,
        name,
        any,
        message_id,
        reason,
        text,
        from: since,
        to: until,
        ..history::Filter::default()
    }
}

/// How a stored event is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The call as it was.
    AsSent,
    /// What the mappings in force make of the event now.
    #[default]
    Mappings,
}

/// What a job is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub select: Select,
    #[serde(default)]
    pub how: How,
    /// Only calls of these mappings; empty: of those that the event failed at.
    #[serde(default)]
    pub mappings: Vec<String>,
    /// Events per second.
    #[serde(default = "default_rate")]
    pub rate: u32,
    /// The newest number that was counted: nothing newer is replayed. Of past events it is a time of receipt, in milliseconds since 1970.
    pub up_to: i64,
    /// How many were counted.
    pub expect: u64,
}

const fn default_rate() -> u32 {
    DEFAULT_RATE
}

/// What a selection selects now: for [`Order::expect`] and [`Order::up_to`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub count: u64,
    pub up_to: i64,
}

/// What a replay would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DryRun {
    /// Calls that would be sent as they were.
    pub same: u64,
    /// Events whose calls would differ from what was sent or refused before.
    pub different: u64,
    /// Events that would be refused or skipped, and stay where they are.
    pub refused: u64,
    /// Events whose source, form or mapping is no longer there, and which stay where they are.
    pub gone: u64,
    /// Past events of which the history or the archive does not have what is needed; they are not sent.
    pub not_kept: u64,
    /// Past events of which hidden values were not stored; they are not sent.
    pub redacted: u64,
    /// Damaged blocks of the history, whose events are missing from all these counts.
    pub unreadable_blocks: u64,
    /// Files of the archive that are damaged; what follows the damage is missing from all these counts.
    pub unreadable_files: u64,
    /// The first differences and refusals. They hold values of events.
    pub examples: Vec<Example>,
}

/// What a replay would do with one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The number of the dead letter or reject; a past event has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    pub event: crate::event_id::EventId,
    /// The call that failed, as `{"mapping", "path", "body"}`; the reasons of the reject; the calls of the past event, or why it had none.
    pub before: Value,
    /// The calls that would be sent, or why none would be.
    pub after: Value,
}

/// Why a job was not created or changed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Somebody has replayed, purged or added some since they were counted.
    #[error(
        "the selection has {found} events now, and the request expects {expect}; look at it again, then repeat with the new count"
    )]
    Conflict { expect: u64, found: u64 },
    #[error("rejects were never sent: replay them with how = \"mappings\"")]
    NeverSent,
    #[error("rate must be from 1 to {MAX_RATE} events per second")]
    Rate,
    #[error(
        "past events are those that were delivered, held or skipped: what was refused or failed is replayed as a reject or dead-letter, \
         and what waits is sent anyway"
    )]
    Status,
    #[error(
        "the archive has only the events: leave out destination, mapping, reason and code, or the archive"
    )]
    ArchiveFilter,
    #[error("there is no archive: name a folder as archive in [history]")]
    NoArchive,
    #[error("more than {MAX_PAST} past events match: choose a shorter time")]
    TooMany,
    #[error("past events cannot be removed: they leave the history when they are older than history.keep")]
    NotRemoved,
    #[error("the archive cannot be read: {0}")]
    Archive(#[from] std::io::Error),
    #[error(transparent)]
    History(#[from] history::ReadError),
    #[error("the relay is stopping")]
    Stopping,
    #[error("there is no job {0}: the list of replays shows those that there are")]
    Unknown(i64),
    #[error("job {} is {} and cannot be {what}", .job.id, .job.state.name())]
    State { job: Box<Job>, what: &'static str },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Events per second of the fastest replay.
pub const MAX_RATE: u32 = 10_000;

impl Order {
    pub(super) fn check(&self) -> Result<(), JobError> {
        match &self.select {
            Select::Reject(_) if self.how == How::AsSent => return Err(JobError::NeverSent),
            Select::Event(past) => past.check()?,
            _ => {}
        }
        if self.rate == 0 || self.rate > MAX_RATE { Err(JobError::Rate) } else { Ok(()) }
    }

    /// The order of a stored job.
    pub(super) fn of(job: &outbox::Job) -> Option<Self> {
        serde_json::from_str(&job.order).ok()
    }
}
