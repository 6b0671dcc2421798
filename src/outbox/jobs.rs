//! Jobs: long work on stored events, such as a replay, done in small steps that a restart does not repeat.
//!
//! What a step makes, and how far the job is after it, are one commit. A job that is paused or cancelled changes nothing more.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Submission;

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: i64,
    /// What is done: `replay`, `purge`, `import`.
    pub kind: String,
    /// What it is done to and how: JSON that only the kind's own code reads.
    pub order: String,
    /// Nothing that came after this is the job's.
    pub up_to: i64,
    /// How much there was to do at the start.
    pub expect: u64,
    /// The last that a step handled.
    pub cursor: i64,
    pub done: u64,
    pub failed: u64,
    pub state: JobState,
    /// Who asked for it.
    pub by: String,
    pub at: DateTime<Utc>,
    /// Why it stopped by itself; empty otherwise.
    pub note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    Running,
    /// By an operator.
    Paused,
    Done,
    Cancelled,
    /// It could not go on; the note says why.
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

    /// Whether it can still go on.
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
    /// How far the job is after it.
    pub cursor: i64,
    /// What could not be done.
    pub failed: u64,
    /// The job is done with it.
    pub is_last: bool,
    /// Dead letters whose calls are stored anew, as they were.
    pub dead_letters: Vec<i64>,
    /// What is stored, and the dead letter or reject of which it was made and which leaves.
    pub made: Vec<(Option<i64>, Submission)>,
    /// Dead letters and rejects that are removed for good.
    pub purged: Vec<i64>,
}

impl JobStep {
    pub(super) fn size(&self) -> usize {
        self.made.iter().map(|(_, submission)| submission.size()).sum()
    }
}
