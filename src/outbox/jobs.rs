//! Jobs: long work on stored events, such as a replay, done in small steps that a restart does not repeat.
//!
//! One commit stores the result of a step and the job's progress. A job that is paused or cancelled changes nothing more.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Submission;
use super::moved::MovedRecord;

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: i64,
    /// The kind of work: `replay`, `purge`, `import`.
    pub kind: String,
    /// The selection and the settings: JSON that only the code of this kind reads.
    pub order: String,
    /// The newest number that the job handles.
    pub up_to: i64,
    /// The number of events at the start.
    pub expect: u64,
    /// The last number that a step handled.
    pub cursor: i64,
    pub done: u64,
    pub failed: u64,
    pub state: JobState,
    /// The name of the person or program that started it.
    pub by: String,
    pub at: DateTime<Utc>,
    /// Why the job stopped by itself; otherwise empty.
    pub note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    Running,
    /// An operator paused it.
    Paused,
    Done,
    Cancelled,
    /// It could not continue; the note gives the reason.
    Failed,
}

impl JobState {
    pub const ALL: [Self; 5] = [Self::Running, Self::Paused, Self::Done, Self::Cancelled, Self::Failed];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Returns whether the job can still continue.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A job to be stored.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub kind: &'static str,
    pub order: String,
    pub up_to: i64,
    pub expect: u64,
    pub by: String,
}

/// A change of a job by an operator or by its own code.
#[derive(Debug)]
pub enum JobChange {
    /// Answered with the new job's number.
    Create { job: NewJob, at: DateTime<Utc> },
    /// Changes the state if it is one of these. Answered with the number of jobs that were changed.
    SetState { id: i64, from: &'static [JobState], to: JobState, note: String },
}

/// One step of a job.
#[derive(Debug, Default)]
pub struct JobStep {
    pub job: i64,
    /// The job's progress before the step. A step that is sent twice, or by a second relay, changes nothing.
    pub from: i64,
    /// The job's progress after the step.
    pub cursor: i64,
    /// The events that the step could not handle.
    pub failed: u64,
    /// True if this was the last step.
    pub is_last: bool,
    /// True if the submissions are new events, and not replays of earlier ones.
    pub is_new: bool,
    /// Dead letters whose calls are stored again, unchanged.
    pub dead_letters: Vec<i64>,
    /// New submissions, each with the dead letter or reject that it was made from, which is removed.
    pub made: Vec<(Option<i64>, Submission)>,
    /// Dead letters and rejects that are removed permanently.
    pub purged: Vec<i64>,
    /// Records of another outbox.
    pub moved: Vec<MovedRecord>,
}

impl JobStep {
    pub(super) fn size(&self) -> usize {
        let made = self.made.iter().map(|(_, submission)| submission.size());
        made.chain(self.moved.iter().map(MovedRecord::size)).sum()
    }
}
