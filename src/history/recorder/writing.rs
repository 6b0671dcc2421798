//! Writes blocks: full ones, and every few seconds the one that is being filled. Makes room for them first.
//!
//! A write that fails pauses the recording, and is tried again. A damaged file is replaced.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::{ARCHIVING, Recorder};
use crate::event_id::EventId;
use crate::history::archive::{self, Addition};
use crate::history::block::{self, Head};
use crate::history::store::{self, PackedBlock, Part, Store};

impl Recorder {
    /// Writes the blocks in the buffer that are full or old enough; with `all`, every block.
    pub(super) fn write_full_blocks(&mut self, now: Instant, all: bool) {
        self.announce(now);
        while !self.is_paused() {
            let shared = Arc::clone(&self.shared);
            let buffer = shared.buffer();
            let Some(full) = buffer.full(now, all) else { return };
            self.announce_rest(&buffer, full.events);
            let events = buffer.events.range(..full.events);
            let packed = self.packer.pack(buffer.block, buffer.first, events, &buffer.late);
            drop(buffer);
            self.write(packed);
            // Only now, so that a reader finds the events either in memory or in the file.
            shared.buffer().remove(full, now);
        }
    }

    /// Writes what is in memory, so that a kill loses only a few seconds. If an earlier write failed, tries it again.
    pub(super) fn save(&mut self) {
        if let Some(unwritten) = self.unwritten.take() {
            self.write(unwritten);
        }
        if self.unwritten.is_some() {
            return;
        }
        let packed = {
            let mut buffer = self.shared.buffer();
            if !buffer.take_changed() && !self.is_paused() {
                return;
            }
            let (block, first, events) = (buffer.block, buffer.first, buffer.events.iter());
            (!buffer.is_empty()).then(|| self.packer.pack(block, first, events, &buffer.late))
        };
        match packed {
            Some(packed) => self.write(packed),
            None => self.resume(),
        }
    }

    fn write(&mut self, packed: PackedBlock) {
        match self.try_write(&packed) {
            Ok(()) => self.resume(),
            Err(error) => self.failed(&error, Some(packed)),
        }
    }

    fn try_write(&mut self, packed: &PackedBlock) -> rusqlite::Result<()> {
        let (size, block) = (packed.size(), packed.head.id);
        while let Some(store) = &self.store {
            if !store.is_over(size)? {
                break;
            }
            let Some(oldest) = store.oldest()?.filter(|oldest| oldest.id < block) else { break };
            self.archive_and_remove(&oldest)?;
        }
        self.store.as_mut().map_or(Ok(()), |store| store.write(packed))
    }

    /// Appends a block to the archive, if there is one, and removes it from the history.
    pub(super) fn archive_and_remove(&mut self, head: &Head) -> rusqlite::Result<()> {
        let Some(store) = &mut self.store else { return Ok(()) };
        if let Some(folder) = &self.archive
            && let Err(error) = archive_block(store, folder, head)?
        {
            tracing::warn!(
                error.message = error,
                events = head.events,
                "events were removed from the history and not archived; check the folder of history.archive"
            );
        }
        store.remove(head.id)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.shared.paused.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Pauses recording until the file can be written. A damaged file is replaced.
    pub(super) fn failed(&mut self, error: &rusqlite::Error, packed: Option<PackedBlock>) {
        if store::is_damaged(error)
            && let Some(damaged) = self.store.take()
        {
            match damaged.replace_damaged(error) {
                Ok(store) => {
                    // Without this key a search by user id would not find hashed users; everything else works.
                    let _ = store.set_state(crate::history::USER_KEY, &self.shared.user_key);
                    self.store = Some(store);
                    return packed.into_iter().for_each(|packed| self.write(packed));
                }
                Err(error) => tracing::error!(
                    error.message = %error,
                    "the history is damaged and no new one can be created: nothing is recorded until a restart; \
                     events are delivered as before. Check the disk of history.url, then restart the relay"
                ),
            }
        }
        self.unwritten = packed.or(self.unwritten.take());
        let mut paused = self.shared.paused.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.is_none() {
            tracing::warn!(
                error.message = %error,
                "the history cannot be written: nothing is recorded until a write succeeds; events are delivered as \
                 before. Check the disk of history.url"
            );
            *paused = Some(error.to_string());
        }
    }

    fn resume(&mut self) {
        if self.store.is_none() {
            return;
        }
        let was_paused = self.shared.paused.lock().unwrap_or_else(PoisonError::into_inner).take().is_some();
        if was_paused {
            let events = self.shared.not_recorded.load(Ordering::Relaxed);
            tracing::info!(history.not_recorded = events, "the history is recorded again");
        }
    }
}

/// Appends a block to the archive. The inner error is about the archive or the block, the outer one about the history's file.
fn archive_block(store: &Store, folder: &Path, head: &Head) -> rusqlite::Result<Result<(), String>> {
    let lines = store::part(&store.connection, head.id, Part::Lines)?;
    let payloads = store::part(&store.connection, head.id, Part::Payloads)?;
    let mut late = Vec::new();
    for part in store::late_for(&store.connection, head)? {
        // Without them the status may be that of an earlier attempt.
        let part = part.and_then(|part| block::unpack_late(&part)).unwrap_or_default();
        late.extend(part.into_iter().filter(|late| head.may_have_event(EventId(late.event))));
    }
    let block = match lines.and_then(|lines| archive::unpack(&lines, &payloads?, late)) {
        Ok(block) => block,
        Err(unreadable) => return Ok(Err(unreadable.to_string())),
    };
    let addition = match Addition::new(folder, head.id, &block) {
        Ok(addition) => addition,
        Err(error) => return Ok(Err(error.to_string())),
    };
    store.set_state(ARCHIVING, &serde_json::to_vec(&addition.before).unwrap_or_default())?;
    Ok(addition.append(folder).map_err(|error| error.to_string()))
}
