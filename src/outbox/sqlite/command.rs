//! The commands that the handles send to the writer, and their results.
//!
//! If a commit fails because the disk is full, callers that wait get the error, and commands that must be stored
//! sooner or later are returned.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::facts::{Facts, Received};
use crate::outbox::chunk::Job;
use crate::outbox::jobs::{JobChange, JobStep};
use crate::outbox::priority::Priority;
use crate::outbox::{AcceptError, Parked, Receipt, Replayed, Settlement, Submission};

/// Answers the caller that waits for the commit.
pub(super) type Reply<T> = oneshot::Sender<Result<T, AcceptError>>;

#[derive(Debug)]
pub(super) enum Command {
    Accept {
        submission: Submission,
        /// The reject that the submission was made from; the same commit removes it.
        replayed: Option<i64>,
        priority: Priority,
        reply: Reply<Receipt>,
        /// Released after the commit, by being dropped.
        #[expect(dead_code, reason = "held, never read")]
        room: OwnedSemaphorePermit,
    },
    Settle(Vec<Settlement>),
    /// Read by the writer, so that earlier settlements are seen.
    Parked {
        destination: String,
        users: Vec<String>,
        reply: oneshot::Sender<Vec<Parked>>,
    },
    /// Stores the requests of these dead letters again.
    Replay {
        dead_letters: Vec<i64>,
        reply: Reply<Replayed>,
    },
    /// Makes the next attempts of these users' calls due now; each entry is a destination and a user.
    Retry {
        users: Vec<(String, String)>,
        reply: Reply<usize>,
    },
    /// Moves these calls to another destination, or removes them if there is none.
    Move {
        jobs: Vec<Job>,
        to: Option<String>,
        reply: Reply<usize>,
    },
    /// The answer is the change's own.
    ChangeJob {
        change: JobChange,
        reply: Reply<i64>,
    },
    /// A step of a job; answers false if the job is not running.
    Advance {
        step: JobStep,
        reply: Reply<Option<usize>>,
        /// Given back after the commit, by being dropped.
        #[expect(dead_code, reason = "held, never read")]
        room: OwnedSemaphorePermit,
    },
    /// Removes dead letters and rejects with these numbers.
    Purge {
        ids: Vec<i64>,
        reply: Reply<usize>,
    },
    /// Stores a number under a name, or removes it.
    KeepValue {
        name: String,
        value: Option<i64>,
        reply: Reply<()>,
    },
    /// Removes expired rows; the answer says whether more may be left.
    KeepHouse {
        reply: Reply<bool>,
    },
    Close,
}

/// The result of a command after its group was committed.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The indexes of the accepted events that are duplicates, in order.
    Stored {
        duplicates: Vec<u32>,
    },
    Parked(Vec<Parked>),
    Replayed(Replayed),
    /// The number of rows.
    Changed(usize),
    JobChanged(i64),
    /// For each submission its duplicates, or `None` if it was not stored; nothing at all if the job is not running.
    Advanced(Option<Vec<Option<Vec<u32>>>>),
    HouseKept {
        is_more: bool,
    },
    Done,
    /// There is no room for it.
    Refused(AcceptError),
}

impl Command {
    /// Emits what was received.
    pub(super) fn emit(&self, outcome: &Outcome, facts: &Facts) {
        match (self, outcome) {
            (Self::Accept { submission, replayed, .. }, Outcome::Stored { duplicates }) => {
                facts.received(&Received { submission, duplicates, is_replay: replayed.is_some() });
            }
            (Self::Advance { step, .. }, Outcome::Advanced(Some(duplicates))) => {
                for ((_, submission), duplicates) in step.made.iter().zip(duplicates) {
                    if let Some(duplicates) = duplicates {
                        facts.received(&Received { submission, duplicates, is_replay: !step.is_new });
                    }
                }
            }
            _ => {}
        }
    }

    /// Answers the caller. If the caller has disconnected, its events stay stored.
    pub(super) fn answer(self, outcome: Outcome) {
        match (self, outcome) {
            (Self::Accept { submission, reply, .. }, Outcome::Stored { duplicates }) => {
                let accepted = submission.accepted.len() - duplicates.len();
                let _ = reply.send(Ok(Receipt { accepted, duplicates: duplicates.len() }));
            }
            (Self::Accept { reply, .. }, Outcome::Refused(why)) => {
                let _ = reply.send(Err(why));
            }
            (Self::Parked { reply, .. }, Outcome::Parked(rows)) => {
                let _ = reply.send(rows);
            }
            (Self::Replay { reply, .. }, Outcome::Replayed(replayed)) => {
                let _ = reply.send(Ok(replayed));
            }
            (
                Self::Purge { reply, .. } | Self::Retry { reply, .. } | Self::Move { reply, .. },
                Outcome::Changed(rows),
            ) => {
                let _ = reply.send(Ok(rows));
            }
            (Self::KeepValue { reply, .. }, Outcome::Done) => {
                let _ = reply.send(Ok(()));
            }
            (Self::ChangeJob { reply, .. }, Outcome::JobChanged(answer)) => {
                let _ = reply.send(Ok(answer));
            }
            (Self::Advance { reply, .. }, Outcome::Advanced(duplicates)) => {
                let count = |all: &Vec<Option<Vec<u32>>>| all.iter().flatten().map(Vec::len).sum();
                let _ = reply.send(Ok(duplicates.as_ref().map(count)));
            }
            (Self::KeepHouse { reply }, Outcome::HouseKept { is_more }) => {
                let _ = reply.send(Ok(is_more));
            }
            _ => {}
        }
    }

    /// Tells the caller that nothing was stored. Returns commands that have no caller (settlements), which must be
    /// retried.
    pub(super) fn refuse(self, why: AcceptError) -> Option<Self> {
        match self {
            Self::Accept { reply, .. } => {
                let _ = reply.send(Err(why));
            }
            Self::Replay { reply, .. } => {
                let _ = reply.send(Err(why));
            }
            Self::Purge { reply, .. } | Self::Retry { reply, .. } | Self::Move { reply, .. } => {
                let _ = reply.send(Err(why));
            }
            Self::KeepValue { reply, .. } => {
                let _ = reply.send(Err(why));
            }
            Self::ChangeJob { reply, .. } => {
                let _ = reply.send(Err(why));
            }
            Self::Advance { reply, .. } => {
                let _ = reply.send(Err(why));
            }
            Self::KeepHouse { reply } => {
                let _ = reply.send(Err(why));
            }
            Self::Settle(_) | Self::Parked { .. } => return Some(self),
            Self::Close => {}
        }
        None
    }
}
