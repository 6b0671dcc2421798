//! What a replay or a purge is asked to do, and the answers before and while it does it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::history;
use crate::outbox::{self, ChangeError, Filter, Job, Kind, ReadError};

/// Events per second of a replay that names no rate.
const DEFAULT_RATE: u32 = 200;

/// Which stored events.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Select {
    pub kind: Kind,
    /// All that is given must hold; without any condition all of the kind.
    #[serde(default)]
    pub filter: Filter,
    /// Only these numbers; an empty list selects nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<i64>>,
}

impl Select {
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
    /// The newest number that was counted: nothing newer is replayed.
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
    /// The first differences and refusals. They hold values of events.
    pub examples: Vec<Example>,
}

/// What a replay would do with one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The number of the dead letter or reject.
    pub id: i64,
    pub event: crate::event_id::EventId,
    /// The call that failed, as `{"mapping", "path", "body"}`, or the reasons of the reject.
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
    #[error("there is no job {0}")]
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
        if self.select.kind == Kind::Reject && self.how == How::AsSent {
            return Err(JobError::NeverSent);
        }
        if self.rate == 0 || self.rate > MAX_RATE { Err(JobError::Rate) } else { Ok(()) }
    }

    /// The order of a stored job.
    pub(super) fn of(job: &outbox::Job) -> Option<Self> {
        serde_json::from_str(&job.order).ok()
    }
}
