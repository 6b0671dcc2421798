//! A batch: facts as bytes in one piece of memory, in the order in which they were emitted.
//!
//! A post is many small values, and a thread reads and frees slowly what another one wrote. So the stage that emits a fact copies
//! what the history needs, and the history reads it from the beginning to the end. What many events share is passed once, and has a number.

mod read;
mod write;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::OutcomeKind;
use crate::decode::Form;
use crate::reasons::Reason;

pub use read::{EventRecord, OutcomeRecord, PostRecord, Record};
pub(super) use write::{Part, Payloads, events_of};

/// When this many patterns or endings are known, they are numbered from 0 again, so that they do not use memory without bound.
const MAX_KNOWN: usize = 8192;

/// What the events of a source that became the same calls share.
#[derive(Debug, Clone)]
pub struct Pattern {
    pub source: Arc<str>,
    pub form: Form,
    /// The version of the mappings.
    pub mappings: u64,
    /// The reason code of a skipped event; else empty.
    pub skipped: &'static str,
    /// As `Reject::reasons`; empty if nothing refused the event.
    pub refusals: String,
    pub calls: Vec<CallPattern>,
}

#[derive(Debug, Clone)]
pub struct CallPattern {
    pub destination: Arc<str>,
    pub mapping: Arc<str>,
    pub action: &'static str,
    pub path: &'static str,
    pub warnings: String,
    pub is_derived: bool,
}

/// What attempts that ended alike share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub destination: Arc<str>,
    pub kind: OutcomeKind,
    pub reason: Option<Reason>,
    pub status: u16,
    pub text: String,
}

/// Facts in the order in which they were emitted.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// The new patterns. Their numbers follow those of the batches before.
    pub patterns: Vec<Pattern>,
    /// The new endings, numbered in the same way.
    pub endings: Vec<Ending>,
    /// Whether patterns and endings are numbered from 0 again.
    pub is_renumbered: bool,
    pub events: u64,
    pub outcomes: usize,
    /// The size of the new patterns and endings, about.
    shared_bytes: usize,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns its size in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.shared_bytes
    }

    /// Returns a batch that uses this memory.
    pub(super) fn within(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes, ..Self::default() }
    }

    pub(super) fn into_memory(self) -> Vec<u8> {
        self.bytes
    }
}

/// The patterns and endings that have a number.
#[derive(Debug, Default)]
pub(super) struct KnownShared {
    patterns: Known<Pattern>,
    endings: Known<Ending>,
}

impl KnownShared {
    pub(super) fn are_many(&self) -> bool {
        self.patterns.all.len().max(self.endings.all.len()) >= MAX_KNOWN
    }

    pub(super) fn clear(&mut self) {
        self.patterns.clear();
        self.endings.clear();
    }
}

/// A value in parts that are borrowed.
trait Parts: Hash {
    type Whole: Clone;

    fn to_whole(&self) -> Self::Whole;

    /// Compares addresses rather than texts, where it can: false does not mean that they differ.
    fn is_surely(&self, whole: &Self::Whole) -> bool;
}

/// Values, numbered in the order in which they were first seen.
///
/// They are found by a hash of 128 bits. Values with the same hash are the same: no sender knows the seeds, and that two differ by
/// chance is less likely than a fault of the memory.
#[derive(Debug)]
struct Known<T> {
    numbers: HashMap<u128, u32, RandomState>,
    hashers: [RandomState; 2],
    /// By their numbers.
    all: Vec<T>,
    /// The number that was used last: most events are like the one before.
    last: u32,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { numbers: HashMap::default(), hashers: Default::default(), all: Vec::new(), last: 0 }
    }
}

impl<T: Clone> Known<T> {
    fn clear(&mut self) {
        self.numbers.clear();
        self.all.clear();
    }

    /// Returns the number of a value, and the value if it is new.
    fn number(&mut self, parts: &impl Parts<Whole = T>) -> (u32, Option<T>) {
        if self.all.get(self.last as usize).is_some_and(|last| parts.is_surely(last)) {
            return (self.last, None);
        }
        let [one, other] = self.hashers.each_ref().map(|hasher| hasher.hash_one(parts));
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.last = *self.numbers.entry((u128::from(one) << 64) | u128::from(other)).or_insert(next);
        let is_new = self.last == next;
        let whole = is_new.then(|| parts.to_whole());
        self.all.extend(whole.clone());
        (self.last, whole)
    }
}
