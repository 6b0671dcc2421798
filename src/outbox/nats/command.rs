//! What the handles ask the committer to do.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::super::chunk::Job;
use super::super::jobs::{JobChange, JobStep};
use super::super::{AcceptError, Priority, Receipt, Replayed, Settlement, Submission};

use super::group::Outcome;
use crate::facts::{Facts, Received};

pub(super) type Reply<T> = oneshot::Sender<Result<T, AcceptError>>;

#[derive(Debug)]
pub(super) enum Command {
    Accept {
        submission: Submission,
        /// The reject that this submission replays. The batch that stores the submission removes the reject.
        replayed: Option<i64>,
        priority: Priority,
        /// The index of the first reject that is not stored yet: a submission with many rejects needs several batches.
        rejects_stored: usize,
        reply: Reply<Receipt>,
        /// The memory that the submission holds. It is dropped after the commit.
        #[expect(dead_code, reason = "held, never read")]
        room: OwnedSemaphorePermit,
    },
    Settle {
        lane: u16,
        /// The ownership of the lane under which the calls were made.
        epoch: u64,
        settlements: Vec<Settlement>,
    },
    /// All calls of a lane that the relay gives back have ended. Their settlements were sent before this command.
    Drained {
        lane: u16,
        epoch: u64,
    },
    /// Stores this relay's record; answered with its sequence.
    Mark {
        reply: Reply<u64>,
    },
    /// A flush: it is answered when every command before it is stored.
    Flush {
        reply: oneshot::Sender<()>,
    },
    Replay {
        dead_letters: Vec<i64>,
        reply: Reply<Replayed>,
    },
    Purge {
        ids: Vec<i64>,
        reply: Reply<usize>,
    },
    Retry {
        users: Vec<(String, String)>,
        reply: Reply<usize>,
    },
    /// Moves parked calls to another destination, or removes them.
    Move {
        jobs: Vec<Job>,
        to: Option<String>,
        reply: Reply<usize>,
    },
    KeepValue {
        name: String,
        value: Option<i64>,
        reply: Reply<()>,
    },
    ChangeJob {
        change: JobChange,
        reply: Reply<i64>,
    },
    Advance {
        step: JobStep,
        reply: Reply<Option<usize>>,
        #[expect(dead_code, reason = "held, never read")]
        room: OwnedSemaphorePermit,
    },
    MarkMoved {
        to: String,
        reply: Reply<()>,
    },
    KeepHouse {
        reply: Reply<bool>,
    },
    /// Gives back the lanes.
    Close {
        reply: oneshot::Sender<()>,
    },
}

impl Command {
    /// Returns whether the caller has gone, so that the command need not be stored.
    pub(super) fn is_given_up(&self) -> bool {
        match self {
            Self::Accept { reply, .. } => reply.is_closed(),
            Self::Replay { reply, .. } => reply.is_closed(),
            _ => false,
        }
    }

    /// Answers the caller after the batch is stored.
    pub(super) fn answer(self, outcome: Outcome, facts: &Facts) {
        match (self, outcome) {
            (Self::Accept { submission, replayed, reply, .. }, Outcome::Stored { duplicates }) => {
                let accepted = submission.accepted.len() - duplicates.len();
                let receipt = Receipt { accepted, duplicates: duplicates.len() };
                let (submission, duplicates) = (&submission, duplicates.as_slice());
                facts.received(&Received { submission, duplicates, is_replay: replayed.is_some() });
                let _ = reply.send(Ok(receipt));
            }
            (Self::Accept { reply, .. }, Outcome::Refused(why)) => {
                let _ = reply.send(Err(why));
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
            (Self::KeepValue { reply, .. } | Self::MarkMoved { reply, .. }, Outcome::Done) => {
                let _ = reply.send(Ok(()));
            }
            (Self::ChangeJob { reply, .. }, Outcome::Job(answer)) => {
                let _ = reply.send(Ok(answer));
            }
            (Self::Advance { step, reply, .. }, Outcome::Advanced(duplicates)) => {
                let count = |all: &Vec<Option<Vec<u32>>>| all.iter().flatten().map(Vec::len).sum();
                let _ = reply.send(Ok(duplicates.as_ref().map(count)));
                let is_replay = !step.is_new;
                let made = step.made.into_iter().zip(duplicates.into_iter().flatten());
                for ((_, submission), duplicates) in made {
                    if let Some(duplicates) = duplicates {
                        let (submission, duplicates) = (&submission, duplicates.as_slice());
                        facts.received(&Received { submission, duplicates, is_replay });
                    }
                }
            }
            (Self::KeepHouse { reply }, Outcome::HouseKept { is_more }) => {
                let _ = reply.send(Ok(is_more));
            }
            (Self::Flush { reply } | Self::Close { reply }, _) => {
                let _ = reply.send(());
            }
            _ => {}
        }
    }

    /// Tells the caller that nothing was stored. Returns the command if it must be stored all the same, such as a settlement.
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
            Self::KeepValue { reply, .. } | Self::MarkMoved { reply, .. } => {
                let _ = reply.send(Err(why));
            }
            Self::ChangeJob { reply, .. } => {
                let _ = reply.send(Err(why));
            }
            Self::Mark { reply } => {
                let _ = reply.send(Err(why));
            }
            Self::Advance { reply, .. } => {
                let _ = reply.send(Err(why));
            }
            Self::KeepHouse { reply } => {
                let _ = reply.send(Err(why));
            }
            Self::Settle { .. } | Self::Drained { .. } | Self::Flush { .. } | Self::Close { .. } => {
                return Some(self);
            }
        }
        None
    }
}
