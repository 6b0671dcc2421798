//! Damaged rows, whose bytes changed on the disk after they were written. Each is reported once and counted.
//!
//! Code that reads such a row keeps it and never sends it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::reasons::Reason;

/// The most rows that are remembered as reported. The count stops there too.
const MAX_REPORTED: usize = 10_000;

/// The content of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stored {
    Chunk,
    Call,
    DeadLetter,
    Reject,
    /// Which calls of a chunk are settled.
    Progress,
}

impl Stored {
    pub const ALL: [Self; 5] = [Self::Chunk, Self::Call, Self::DeadLetter, Self::Reject, Self::Progress];

    /// The name in metrics and log lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chunk => "chunk",
            Self::Call => "call",
            Self::DeadLetter => "dead letter",
            Self::Reject => "reject",
            Self::Progress => "progress",
        }
    }
}

/// The damaged rows that were found since the start.
#[derive(Debug, Default)]
pub(super) struct Damage(Mutex<HashSet<(Stored, i64)>>);

impl Damage {
    pub(super) fn report(&self, stored: Stored, id: i64) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= MAX_REPORTED || !found.insert((stored, id)) {
            return;
        }
        let reason = Reason::WaitDamaged;
        tracing::warn!(
            reason.code = reason.code(),
            outbox.row = stored.name(),
            outbox.row_id = id,
            "a {} of the outbox is damaged: {}",
            stored.name(),
            if stored == Stored::Progress {
                "the calls of its chunk that are not waiting elsewhere are made once more"
            } else {
                "it is kept and not sent; check the disk"
            }
        );
    }

    /// Returns how many damaged rows of this kind were found.
    pub(super) fn count(&self, stored: Stored) -> u64 {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.iter().filter(|(kind, _)| *kind == stored).count() as u64
    }
}
