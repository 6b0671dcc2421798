//! What the handles ask of the writer, and what it answers.
//!
//! A command outlives a commit that failed for want of room: whoever waits is told so, and what has to be stored
//! sooner or later is given back.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::chunk::Job;
use super::lane::Lane;
use super::sqlite::Parked;
use super::{AcceptError, Receipt, Replayed, Settlement, Submission};
use crate::facts::{Facts, Received};

/// Where somebody waits for the commit.
pub(super) type Reply<T> = oneshot::Sender<Result<T, AcceptError>>;

#[derive(Debug)]
pub(super) enum Command {
    Accept {
        submission: Submission,
        /// The reject of which the submission was made: it leaves with the same commit.
        replayed: Option<i64>,
        lane: Lane,
        reply: Reply<Receipt>,
        /// Given back after the commit, by being dropped.
        #[expect(dead_code, reason = "held, never read")]
        room: OwnedSemaphorePermit,
    },
    Settle(Vec<Settlement>),
    /// Through the writer, so that what was settled before is seen.
    Parked {
        destination: String,
        users: Vec<String>,
        reply: oneshot::Sender<Vec<Parked>>,
    },
    /// Stores the requests of these dead letters anew.
    Replay {
        dead_letters: Vec<i64>,
        reply: Reply<Replayed>,
    },
    /// Makes the next attempts of these users' calls due now; each is a destination and a user.
    Retry {
        users: Vec<(String, String)>,
        reply: Reply<usize>,
    },
    /// Gives these calls to another destination, or removes them if there is none.
    Move {
        jobs: Vec<Job>,
        to: Option<String>,
        reply: Reply<usize>,
    },
    /// Removes dead letters and rejects with these numbers.
    Purge {
        ids: Vec<i64>,
        reply: Reply<usize>,
    },
    /// Keeps a number under a name, or nothing any more.
    KeepValue {
        name: String,
        value: Option<i64>,
        reply: Reply<()>,
    },
    /// Removes what is too old; answers whether more may be left.
    KeepHouse {
        reply: Reply<bool>,
    },
    Close,
}

/// What a command came to, once its group is committed.
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
    HouseKept {
        is_more: bool,
    },
    Done,
    /// There is no room for it.
    Refused(AcceptError),
}

impl Command {
    /// Emits what was received, and answers the caller. A caller that is gone hung up before its answer; what it sent is
    /// stored all the same.
    pub(super) fn answer(self, outcome: Outcome, facts: &Facts) {
        match (self, outcome) {
            (Self::Accept { submission, replayed, reply, .. }, Outcome::Stored { duplicates }) => {
                let accepted = submission.accepted.len() - duplicates.len();
                let receipt = Receipt { accepted, duplicates: duplicates.len() };
                facts.received(Received { submission, duplicates, is_replay: replayed.is_some() });
                let _ = reply.send(Ok(receipt));
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
            (Self::KeepHouse { reply }, Outcome::HouseKept { is_more }) => {
                let _ = reply.send(Ok(is_more));
            }
            _ => {}
        }
    }

    /// Tells whoever waits that nothing was stored. Gives back what was not asked for by anybody who could ask again.
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
            Self::KeepHouse { reply } => {
                let _ = reply.send(Err(why));
            }
            Self::Settle(_) | Self::Parked { .. } => return Some(self),
            Self::Close => {}
        }
        None
    }
}
