//! Stages one commit group: the statements of each command, within the group's transaction.
//!
//! Every change in memory is noted in the [`Group`], so that the writer can undo it if the commit fails. Never
//! commits and never answers.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use rusqlite::Result;

use super::command::{Command, Outcome};
use super::writer::Writer;
use super::{self as sqlite, LANE, Progress};
use crate::event_id::EventId;
use crate::outbox::chunk::Chunk;
use crate::outbox::clock::Now;
use crate::outbox::frame::{self, LAYOUT};
use crate::outbox::priority::Priority;
use crate::outbox::recent::{self, Identity};
use crate::outbox::{
    AcceptError, Accepted, Amount, Kind, Parked, Place, Position, Settlement, Stored, Submission,
};
use crate::reasons::Reason;

/// The number of one user's parked calls that are returned at a time.
const MAX_PARKED: usize = 16;
/// A chunk is closed at this size, because a reader holds a whole chunk in memory.
pub(super) const CHUNK_BYTES: usize = 1 << 20;
/// The changes of one commit group.
#[derive(Default)]
pub(super) struct Group {
    /// The chunk that is being filled.
    pub(super) bytes: Vec<u8>,
    pub(super) requests: u32,
    /// Bytes of the submissions accepted so far.
    accepted_bytes: u64,
    /// Chunks already written.
    pub(super) chunks: Vec<Chunk>,
    pub(super) identities: Vec<Identity>,
    touched: HashSet<i64>,
    /// The newest reject; 0 if there is none.
    pub(super) reject: i64,
    /// Chunks whose requests are all settled.
    pub(super) completed: Vec<i64>,
    /// One for each command, in their order.
    pub(super) outcomes: Vec<Outcome>,
    /// The number of requests in chunks that this group marked as settled. The marks stay if the commit fails.
    pub(super) marked: u64,
    /// Users whose calls were made due: the destination, the user.
    pub(super) due: Vec<(String, String)>,
    /// Dead letters that this group made.
    pub(super) new_dead_letters: Vec<NewDeadLetter>,
    /// The background calls that this group added, by destination.
    pub(super) background: HashMap<String, usize>,
}

impl Group {
    pub(super) fn add_background(&mut self, destination: &str) {
        match self.background.get_mut(destination) {
            Some(calls) => *calls += 1,
            None => drop(self.background.insert(destination.to_owned(), 1)),
        }
    }
}

/// What the log contains about a new dead letter: nothing personal.
pub(super) struct NewDeadLetter {
    pub(super) id: i64,
    pub(super) event: EventId,
    pub(super) destination: String,
    pub(super) mapping: String,
    pub(super) reason: Reason,
    pub(super) status: Option<u16>,
}

impl Writer {
    /// Stages everything that waits and what follows from it, and commits. This includes the fsync.
    pub(super) fn store(&mut self, waiting: &[Command], group: &mut Group, now: Now) -> Result<()> {
        self.store.connection.execute_batch("BEGIN IMMEDIATE")?;
        for command in waiting {
            let outcome = self.stage(command, group, now)?;
            group.outcomes.push(outcome);
        }
        self.write_chunk(group)?;
        if !group.identities.is_empty() {
            let ids: Vec<u8> = group.identities.iter().flat_map(recent::bytes).collect();
            sqlite::remember(&self.store.connection, now.running, &ids)?;
        }
        self.save_progress(group)?;
        self.trim_rejects()?;
        if now.running >= self.housekeeping_at {
            self.keep_house(now)?;
        }
        self.store.connection.execute_batch("COMMIT")
    }

    fn stage(&mut self, command: &Command, group: &mut Group, now: Now) -> Result<Outcome> {
        Ok(match command {
            Command::Accept { submission, replayed, priority, .. } => {
                // The handle checked only its own submission: several together may not fit.
                let bytes = group.accepted_bytes + submission.size() as u64;
                if self.shown.space.check(bytes).is_err() {
                    return Ok(Outcome::Refused(AcceptError::Full));
                }
                group.accepted_bytes = bytes;
                if let Some(id) = replayed {
                    self.remove(Kind::Reject, &[*id])?;
                }
                Outcome::Stored { duplicates: self.accept(submission, *priority, group, now)? }
            }
            Command::Settle(settlements) => {
                for settlement in settlements {
                    self.settle(settlement, group, now)?;
                }
                Outcome::Done
            }
            Command::Parked { destination, users, .. } => Outcome::Parked(self.parked(destination, users)?),
            Command::Replay { dead_letters, .. } => Outcome::Replayed(self.replay(dead_letters, group)?),
            Command::Retry { users, .. } => {
                for (destination, user) in users {
                    sqlite::make_due(&self.store.connection, destination, user, now.wall)?;
                }
                group.due.extend_from_slice(users);
                Outcome::Changed(users.len())
            }
            Command::Move { jobs, to, .. } => {
                Outcome::Changed(self.move_calls(jobs, to.as_deref(), group)?)
            }
            Command::ChangeJob { change, .. } => Outcome::JobChanged(self.change_job(change)?),
            Command::Advance { step, .. } => Outcome::Advanced(self.advance(step, group, now)?),
            Command::Purge { ids, .. } => {
                let dead_letters = self.remove(Kind::DeadLetter, ids)?;
                Outcome::Changed(dead_letters + self.remove(Kind::Reject, ids)?)
            }
            Command::KeepValue { name, value, .. } => {
                sqlite::keep_value(&self.store.connection, name, *value)?;
                Outcome::Done
            }
            Command::KeepHouse { .. } => Outcome::HouseKept { is_more: self.keep_house(now)? },
            Command::Close => {
                sqlite::store_running_time(&self.store.connection, now.running)?;
                Outcome::Done
            }
        })
    }

    /// Returns the indexes of the events that had been accepted before.
    pub(super) fn accept(
        &mut self,
        submission: &Submission,
        priority: Priority,
        group: &mut Group,
        now: Now,
    ) -> Result<Vec<u32>> {
        let mut duplicates = Vec::new();
        // So that a batch is not copied each time the chunk grows.
        let bytes: usize = submission.accepted.iter().map(frame::size).sum();
        group.bytes.reserve(bytes.min(CHUNK_BYTES));
        for (index, event) in (0..).zip(&submission.accepted) {
            if let Some(identity) = self.identity(submission, event) {
                if !self.recent.insert(&identity, now.running) {
                    duplicates.push(index);
                    continue;
                }
                group.identities.push(identity);
            }
            frame::write_event(&mut group.bytes, &submission.source, event, priority);
            if priority == Priority::Background {
                event.requests.iter().for_each(|request| group.add_background(&request.destination));
            }
            group.requests += u32::try_from(event.requests.len()).unwrap_or(u32::MAX);
            self.close_chunk(group)?;
        }
        let (source, form) = (&submission.source, submission.form.name());
        for reject in &submission.rejects {
            let at = submission.received_at;
            let bytes = sqlite::insert_reject(&self.store.connection, source, form, at, reject, now)?;
            self.usage.rejects.add(Amount { rows: 1, bytes });
            group.reject = self.store.connection.last_insert_rowid();
        }
        Ok(duplicates)
    }

    fn identity(&self, submission: &Submission, event: &Accepted) -> Option<Identity> {
        let id = event.message_id.as_deref()?;
        let window = submission.deduplication_window;
        (!window.is_zero()).then(|| Identity::new(self.store.key, &submission.source, id, window))
    }

    /// Writes the chunk that is being filled, if it is large enough.
    pub(super) fn close_chunk(&mut self, group: &mut Group) -> Result<()> {
        if group.bytes.len() >= CHUNK_BYTES { self.write_chunk(group) } else { Ok(()) }
    }

    pub(super) fn write_chunk(&mut self, group: &mut Group) -> Result<()> {
        if group.requests == 0 {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut group.bytes));
        let requests = std::mem::take(&mut group.requests);
        let id = sqlite::insert(&self.store.connection, requests, &bytes)?;
        self.usage.waiting.add(Amount { rows: u64::from(requests), bytes: bytes.len() as u64 });
        let settled = Vec::new();
        group.chunks.push(Chunk { lane: LANE, id, requests, settled, layout: LAYOUT, bytes, is_sound: true });
        Ok(())
    }

    pub(super) fn settle(&mut self, settlement: &Settlement, group: &mut Group, now: Now) -> Result<()> {
        let connection = &self.store.connection;
        let place = match settlement {
            Settlement::Delivered { place, fingerprints } => {
                sqlite::record_delivered(connection, fingerprints, now.running)?;
                *place
            }
            Settlement::Parked { job, attempts, next_attempt_at } => {
                sqlite::park(connection, job, attempts, *next_attempt_at)?;
                if matches!(job.place, Place::Parked { .. }) {
                    return Ok(());
                }
                let bytes = (job.body.len() + job.original.len()) as u64;
                self.usage.waiting.add(Amount { rows: 1, bytes });
                job.place
            }
            Settlement::Dead { job, attempts, reason } => {
                let (id, bytes) = sqlite::insert_dead_letter(connection, job, attempts, *reason, now)?;
                self.usage.dead_letters.add(Amount { rows: 1, bytes });
                group.new_dead_letters.push(NewDeadLetter {
                    id,
                    event: job.event,
                    destination: job.destination.as_str().to_owned(),
                    mapping: job.mapping.as_str().to_owned(),
                    reason: *reason,
                    status: attempts.last().and_then(|attempt| attempt.status),
                });
                job.place
            }
        };
        self.leave(place, group).map(drop)
    }

    /// Removes a request from its place; returns whether it still was there.
    pub(super) fn leave(&mut self, place: Place, group: &mut Group) -> Result<bool> {
        match place {
            Place::Parked { row, .. } => {
                let freed = sqlite::unpark(&self.store.connection, row)?;
                if let Some(bytes) = freed {
                    self.usage.waiting.remove(Amount { rows: 1, bytes });
                }
                Ok(freed.is_some())
            }
            Place::Chunk { position: Position { chunk, index, .. }, of } => {
                let is_new =
                    self.progress.entry(chunk).or_insert_with(|| Progress::new(of)).settle(index, of);
                if is_new {
                    group.marked += 1;
                    self.usage.waiting.remove(Amount { rows: 1, bytes: 0 });
                }
                group.touched.insert(chunk);
                Ok(is_new)
            }
        }
    }

    fn save_progress(&mut self, group: &mut Group) -> Result<()> {
        let connection = &self.store.connection;
        for &chunk in &group.touched {
            match self.progress.get(&chunk) {
                Some(progress) if !progress.is_complete() => {
                    sqlite::save_progress(connection, chunk, progress)?;
                }
                _ => {
                    self.usage.waiting.remove(Amount { rows: 0, bytes: sqlite::delete(connection, chunk)? });
                    group.completed.push(chunk);
                }
            }
        }
        Ok(())
    }
    fn parked(&self, destination: &str, users: &[String]) -> Result<Vec<Parked>> {
        let mut parked = Vec::new();
        for user in users {
            let damaged = |row| self.shown.damage.report(Stored::Call, row);
            let connection = &self.store.connection;
            parked.extend(sqlite::parked(connection, destination, user, MAX_PARKED, damaged)?);
        }
        Ok(parked)
    }
}
