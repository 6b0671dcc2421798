//! The records that a move takes from one outbox to another: calls, dead letters, rejects, fingerprints, ended jobs.

use chrono::{DateTime, Utc};

use super::chunk::Job;
use super::jobs::Job as EndedJob;
use super::{Attempt, DeadLetter, StoredReject};
use crate::accoil::Fingerprint;

#[derive(Debug)]
pub enum MovedRecord {
    /// A waiting call. It follows all calls of its user that were moved before. A call with attempts is parked.
    Call {
        job: Job,
        attempts: Vec<Attempt>,
        next_attempt_at: Option<DateTime<Utc>>,
    },
    /// It gets a new number, above all others.
    DeadLetter(DeadLetter),
    /// It gets a new number, above all others.
    Reject(StoredReject),
    LastDelivered(Fingerprint, DateTime<Utc>),
    /// A job that has ended. The number of the moving job is added to its own, so that a repeat changes nothing.
    Job(EndedJob),
}

impl MovedRecord {
    /// Bytes that it adds to the disk.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Call { job, .. } => job.body.len() + job.original.len(),
            Self::DeadLetter(letter) => letter.body.len() + letter.original.len(),
            Self::Reject(reject) => reject.original.len() + reject.reasons.len(),
            Self::LastDelivered(..) | Self::Job(_) => 0,
        }
    }
}
