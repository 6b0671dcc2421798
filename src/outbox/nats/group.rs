//! The group of commands that becomes one atomic batch: its messages, and what it changes in memory.
//!
//! The group lists every change in memory, so that `stage` can undo them if the batch is not stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::jobs::Job as Task;
use super::super::recent::Identity;
use super::super::{AcceptError, Position, Replayed};
use super::batch::Message;
use super::codec::Tally;
use crate::accoil::Fingerprint;
use crate::event_id::EventId;
use crate::reasons::Reason;

/// One batch.
#[derive(Default)]
pub(super) struct Group {
    pub(super) messages: Vec<Message>,
    pub(super) bytes: usize,
    /// For each lane, the chunk that is still being filled.
    pub(super) building: BTreeMap<u16, NewChunk>,
    pub(super) identities: Vec<Identity>,
    /// The subjects of the small records.
    pub(super) id_places: Vec<String>,
    pub(super) fingerprint_places: Vec<String>,
    /// The batch folds small records.
    pub(super) folds: bool,
    /// Chunks of which requests were settled.
    pub(super) touched: BTreeSet<(u16, i64)>,
    /// Requests that this group marked as settled.
    pub(super) marked: Vec<Position>,
    /// Chunks whose requests are all settled.
    pub(super) completed: Vec<(u16, i64)>,
    /// For each lane, the fingerprints of derived calls that were delivered.
    pub(super) fingerprints: BTreeMap<u16, Vec<Fingerprint>>,
    /// New chunks: lane and message.
    pub(super) chunks: Vec<(u16, usize)>,
    /// For each lane with settlements, the message that names its lease.
    pub(super) fenced: BTreeMap<u16, usize>,
    pub(super) dead: Vec<NewDeadLetter>,
    pub(super) added: Tally,
    pub(super) removed: Tally,
    /// New rejects.
    pub(super) rejects: Tally,
    /// The batch is stored even if this relay's record is its only message.
    pub(super) is_marked: bool,
    /// Jobs that this group changed.
    pub(super) jobs: HashMap<i64, Task>,
}

/// The requests of a chunk that is being filled.
#[derive(Default)]
pub(super) struct NewChunk {
    pub(super) bytes: Vec<u8>,
    pub(super) requests: u32,
}

/// The fields of the log line about a new dead letter. None of them is personal.
pub(super) struct NewDeadLetter {
    /// The index of its message in the batch, from which its number follows.
    pub(super) message: usize,
    pub(super) event: EventId,
    pub(super) destination: String,
    pub(super) mapping: String,
    pub(super) reason: Reason,
    pub(super) status: Option<u16>,
}

/// The answer to a command once its group is stored.
pub(super) enum Outcome {
    Stored { duplicates: Vec<u32> },
    Replayed(Replayed),
    Changed(usize),
    Job(i64),
    Advanced(Option<Vec<Option<Vec<u32>>>>),
    HouseKept { is_more: bool },
    Done,
    Refused(AcceptError),
}

impl Group {
    pub(super) fn push(&mut self, message: Message) -> usize {
        self.bytes += message.body.len() + message.subject.len() + 100;
        self.messages.push(message);
        self.messages.len() - 1
    }

    /// Adds a message that only the owner of the lane may send.
    pub(super) fn push_fenced(&mut self, lane: u16, message: Message) -> usize {
        let index = self.push(message);
        self.fenced.entry(lane).or_insert(index);
        index
    }

    /// Returns the most messages that the finished batch can have. A chunk with settlements may need two.
    pub(super) fn most_messages(&self) -> usize {
        self.messages.len() + 2 * self.touched.len() + self.building.len() + self.fingerprints.len()
    }

    /// Returns the bytes of the chunks that are still being filled.
    pub(super) fn building_bytes(&self) -> usize {
        self.building.values().map(|building| building.bytes.len()).sum()
    }

    pub(super) fn building(&mut self, lane: u16) -> &mut NewChunk {
        self.building.entry(lane).or_default()
    }
}
