//! What one commit group stages: each command's statements, within the group's transaction.
//!
//! Everything changed in memory on the way is noted in the [`Group`], so that the writer can undo it if the
//! commit fails. Never commits and never answers.

use std::collections::HashSet;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::Result;

use super::chunk::Chunk;
use super::command::{Command, Outcome};
use super::frame::{self, Fields};
use super::recent::{self, Identity};
use super::sqlite::{self, DeadLetter, Kind, Parked, Progress, Removed};
use super::writer::Writer;
use super::{Accepted, Place, Receipt, Retention, Settlement, Submission};

/// One user's parked requests handed out at a time.
const MOST_PARKED: usize = 16;
/// A chunk is closed at this size: it is what a reader holds in memory at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// Old rows are looked for this often, and at once again when there was more than a batch.
pub(super) const HOUSEKEEPING: chrono::Duration = chrono::Duration::minutes(1);
/// A derived call that was not repeated for this long is sent again.
const SAID_FOR: chrono::Duration = chrono::Duration::days(30);

/// What one commit group has staged.
#[derive(Default)]
pub(super) struct Group {
    /// The chunk being filled.
    bytes: Vec<u8>,
    requests: u32,
    /// Chunks already written.
    pub(super) chunks: Vec<Chunk>,
    pub(super) identities: Vec<Identity>,
    touched: HashSet<i64>,
    /// Chunks of which nothing is left.
    pub(super) completed: Vec<i64>,
    /// One a command, in their order.
    pub(super) outcomes: Vec<Outcome>,
    /// Bytes that came to wait and that no longer wait.
    pub(super) added: u64,
    pub(super) freed: u64,
}

/// Bytes of what could not be delivered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) dead_letters: u64,
    pub(super) rejects: u64,
}

impl Sizes {
    const fn of(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::DeadLetter => &mut self.dead_letters,
            Kind::Reject => &mut self.rejects,
        }
    }

    const fn remove(&mut self, kind: Kind, removed: Removed) {
        let size = self.of(kind);
        *size = size.saturating_sub(removed.bytes);
    }
}

impl Writer {
    /// Stages everything that waits, then what follows from it, and commits: the fsync is in here.
    pub(super) fn store(&mut self, waiting: &[Command], group: &mut Group, at: DateTime<Utc>) -> Result<()> {
        self.store.connection.execute_batch("BEGIN IMMEDIATE")?;
        for command in waiting {
            let outcome = self.stage(command, group, at)?;
            group.outcomes.push(outcome);
        }
        self.write_chunk(group)?;
        if !group.identities.is_empty() {
            let ids: Vec<u8> = group.identities.iter().flat_map(recent::bytes).collect();
            sqlite::remember(&self.store.connection, at, &ids)?;
        }
        self.save_progress(group)?;
        self.trim()?;
        self.keep_house(at)?;
        self.store.connection.execute_batch("COMMIT")
    }

    fn stage(&mut self, command: &Command, group: &mut Group, at: DateTime<Utc>) -> Result<Outcome> {
        Ok(match command {
            Command::Accept { submission, replayed, .. } => {
                if let Some(id) = replayed {
                    self.remove(Kind::Reject, &[*id])?;
                }
                Outcome::Stored(self.accept(submission, group, at)?)
            }
            Command::Settle(settlements) => {
                for settlement in settlements {
                    self.settle(settlement, group, at)?;
                }
                Outcome::Done
            }
            Command::StillSaid(said) => {
                sqlite::still_said(&self.store.connection, said, at)?;
                Outcome::Done
            }
            Command::Parked { destination, users, .. } => Outcome::Parked(self.parked(destination, users)?),
            Command::Replay { dead_letters, .. } => Outcome::Changed(self.replay(dead_letters, group)?),
            Command::Purge { kind, ids, .. } => Outcome::Changed(self.remove(*kind, ids)?),
            Command::Close => Outcome::Done,
        })
    }

    fn accept(&mut self, submission: &Submission, group: &mut Group, at: DateTime<Utc>) -> Result<Receipt> {
        let mut receipt = Receipt::default();
        for event in &submission.accepted {
            if let Some(identity) = self.identity(submission, event) {
                if !self.recent.insert(&identity, at) {
                    receipt.duplicates += 1;
                    continue;
                }
                group.identities.push(identity);
            }
            frame::write_event(&mut group.bytes, &submission.source, event);
            group.requests += u32::try_from(event.requests.len()).unwrap_or(u32::MAX);
            receipt.accepted += 1;
            self.close_chunk(group)?;
        }
        let (source, form) = (&submission.source, submission.form.name());
        for reject in &submission.rejects {
            self.sizes.rejects +=
                sqlite::reject(&self.store.connection, source, form, submission.received_at, reject)?;
        }
        Ok(receipt)
    }

    fn identity(&self, submission: &Submission, event: &Accepted) -> Option<Identity> {
        let id = event.message_id.as_deref()?;
        let window = submission.deduplication_window;
        (!window.is_zero()).then(|| Identity::new(self.store.key, &submission.source, id, window))
    }

    /// Writes the chunk being filled if it is large enough.
    fn close_chunk(&self, group: &mut Group) -> Result<()> {
        if group.bytes.len() >= CHUNK_BYTES { self.write_chunk(group) } else { Ok(()) }
    }

    fn write_chunk(&self, group: &mut Group) -> Result<()> {
        if group.requests == 0 {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut group.bytes));
        let requests = std::mem::take(&mut group.requests);
        let id = sqlite::insert(&self.store.connection, requests, &bytes)?;
        group.added += bytes.len() as u64;
        group.chunks.push(Chunk { id, requests, settled: Vec::new(), bytes, is_sound: true });
        Ok(())
    }

    fn settle(&mut self, settlement: &Settlement, group: &mut Group, at: DateTime<Utc>) -> Result<()> {
        let connection = &self.store.connection;
        let place = match settlement {
            Settlement::Delivered { place, said } => {
                sqlite::say(connection, said, at)?;
                *place
            }
            Settlement::Parked { job, attempts, next_attempt_at } => {
                sqlite::park(connection, job, attempts, *next_attempt_at)?;
                if matches!(job.place, Place::Parked { .. }) {
                    return Ok(());
                }
                group.added += (job.body.len() + job.original.len()) as u64;
                job.place
            }
            Settlement::Dead { job, attempts } => {
                self.sizes.dead_letters += sqlite::bury(connection, job, attempts, at)?;
                job.place
            }
        };
        match place {
            Place::Parked { row, .. } => group.freed += sqlite::unpark(connection, row)?,
            Place::Chunk { chunk, index, of } => {
                self.progress.entry(chunk).or_insert_with(|| Progress::new(of)).settle(index);
                group.touched.insert(chunk);
            }
        }
        Ok(())
    }

    fn parked(&self, destination: &str, users: &[String]) -> Result<Vec<Parked>> {
        let mut parked = Vec::new();
        for user in users {
            parked.extend(sqlite::parked(&self.store.connection, destination, user, MOST_PARKED)?);
        }
        Ok(parked)
    }

    /// The requests of dead letters become part of the chunk being filled: behind all that their users have waiting.
    fn replay(&mut self, ids: &[i64], group: &mut Group) -> Result<usize> {
        for id in ids {
            if let Some(letter) = sqlite::dead_letter(&self.store.connection, *id)? {
                frame::write_head(&mut group.bytes, &letter.source, &letter.original, 1);
                frame::write_request(&mut group.bytes, &fields(&letter));
                group.requests += 1;
                self.close_chunk(group)?;
            }
        }
        self.remove(Kind::DeadLetter, ids)
    }

    fn remove(&mut self, kind: Kind, ids: &[i64]) -> Result<usize> {
        let removed = sqlite::remove(&self.store.connection, kind, ids)?;
        self.sizes.remove(kind, removed);
        Ok(removed.rows)
    }

    fn save_progress(&self, group: &mut Group) -> Result<()> {
        let connection = &self.store.connection;
        for &chunk in &group.touched {
            match self.progress.get(&chunk) {
                Some(progress) if !progress.is_complete() => {
                    sqlite::save_progress(connection, chunk, progress)?;
                }
                _ => {
                    group.freed += sqlite::delete(connection, chunk)?;
                    group.completed.push(chunk);
                }
            }
        }
        Ok(())
    }

    /// Holds what could not be delivered to its size.
    fn trim(&mut self) -> Result<()> {
        for kind in [Kind::DeadLetter, Kind::Reject] {
            let most = self.retention(kind).bytes;
            while *self.sizes.of(kind) > most {
                let removed = sqlite::remove_oldest(&self.store.connection, kind)?;
                self.sizes.remove(kind, removed);
                if removed.rows == 0 {
                    *self.sizes.of(kind) = 0;
                }
                if kind == Kind::DeadLetter {
                    tracing::warn!(
                        dead_letters.removed = removed.rows,
                        "the oldest dead letters were removed: they are over outbox.max_dead_letter_bytes"
                    );
                }
            }
        }
        Ok(())
    }

    /// Forgets what is old, a batch at a time so that no commit becomes long.
    fn keep_house(&mut self, at: DateTime<Utc>) -> Result<()> {
        if at - self.housekept_at <= HOUSEKEEPING {
            return Ok(());
        }
        sqlite::forget(&self.store.connection, self.recent.horizon(at), at - SAID_FOR)?;
        let mut rows = 0;
        for kind in [Kind::DeadLetter, Kind::Reject] {
            let removed = sqlite::remove_old(&self.store.connection, kind, &self.retention(kind), at)?;
            self.sizes.remove(kind, removed);
            rows += removed.rows;
        }
        if rows == 0 {
            self.housekept_at = at;
        }
        Ok(())
    }

    const fn retention(&self, kind: Kind) -> Retention {
        match kind {
            Kind::DeadLetter => self.dead_letters,
            Kind::Reject => self.rejects,
        }
    }
}

fn fields(letter: &DeadLetter) -> Fields<'_> {
    Fields {
        destination: &letter.destination,
        user: &letter.user,
        path: &letter.path,
        body: &letter.body,
        mapping: &letter.mapping,
        action: &letter.action,
        warnings: &letter.warnings,
        fingerprints: &letter.fingerprints,
    }
}
