//! Stages the records that move here from another outbox.

use chrono::{DateTime, Utc};
use rusqlite::{Result, named_params};

use super::letters::{INSERT_DEAD_LETTER, INSERT_REJECT};
use super::requeue::fields;
use super::stage::{CHUNK_BYTES, Group};
use super::writer::Writer;
use super::{LANE, groups, last_delivered};
use crate::outbox::chunk::Job;
use crate::outbox::clock::Now;
use crate::outbox::frame;
use crate::outbox::groups::GroupReason;
use crate::outbox::jobs::Job as EndedJob;
use crate::outbox::moved::MovedRecord;
use crate::outbox::{Amount, Attempt, DeadLetter, Place, Position, Settlement, StoredReject};

/// A call that is parked as soon as its chunk has an id.
struct ToPark<'a> {
    index: u32,
    job: &'a Job,
    attempts: &'a [Attempt],
    next_attempt_at: Option<DateTime<Utc>>,
}

impl Writer {
    /// Stages moved records; returns the number of calls, dead letters and rejects among them.
    pub(super) fn store_moved(
        &mut self,
        moving_job: i64,
        moved: &[MovedRecord],
        group: &mut Group,
        now: Now,
    ) -> Result<usize> {
        let mut count = 0;
        // The calls to park are counted from the beginning of a chunk.
        self.write_chunk(group)?;
        let mut to_park = Vec::new();
        for record in moved {
            count += 1;
            match record {
                MovedRecord::Call { job, attempts, next_attempt_at } => {
                    if !attempts.is_empty() {
                        let next_attempt_at = *next_attempt_at;
                        to_park.push(ToPark { index: group.requests, job, attempts, next_attempt_at });
                    }
                    frame::write_head(&mut group.bytes, job.event, job.source.as_str(), &job.original, 1);
                    frame::write_request(&mut group.bytes, &fields(job));
                    group.requests += 1;
                    if group.bytes.len() >= CHUNK_BYTES {
                        self.park_moved(&mut to_park, group, now)?;
                    }
                }
                MovedRecord::DeadLetter(letter) => self.store_letter(letter, now)?,
                MovedRecord::Reject(reject) => self.store_reject(reject, group, now)?,
                MovedRecord::LastDelivered(fingerprint, at) => {
                    count -= 1;
                    let at = (*at).min(now.running);
                    last_delivered::record_delivered(&self.store.connection, &[*fingerprint], at)?;
                }
                MovedRecord::Job(job) => {
                    count -= 1;
                    let id = job.id + moving_job;
                    super::put_job(&self.store.connection, &EndedJob { id, ..job.clone() })?;
                }
            }
        }
        self.park_moved(&mut to_park, group, now)?;
        Ok(count)
    }

    /// Writes the chunk, and parks calls of it.
    fn park_moved(&mut self, to_park: &mut Vec<ToPark<'_>>, group: &mut Group, now: Now) -> Result<()> {
        self.write_chunk(group)?;
        let Some((id, of)) = group.chunks.last().map(|chunk| (chunk.id, chunk.requests)) else {
            return Ok(());
        };
        // If the commit fails, the chunk is gone with its marks.
        let marked = group.marked;
        for ToPark { index, job, attempts, next_attempt_at } in to_park.drain(..) {
            let place = Place::Chunk { position: Position { lane: LANE, chunk: id, index }, of };
            let (job, attempts) = (Box::new(Job { place, ..job.clone() }), attempts.to_vec());
            self.settle(&Settlement::Parked { job, attempts, next_attempt_at }, group, now)?;
        }
        group.marked = marked;
        if let (Some(chunk), Some(progress)) = (group.chunks.last_mut(), self.progress.get(&id)) {
            chunk.settled.clone_from(&progress.settled);
        }
        Ok(())
    }

    fn store_letter(&mut self, letter: &DeadLetter, now: Now) -> Result<()> {
        let connection = &self.store.connection;
        let DeadLetter { destination, source, mapping, attempts, code, .. } = letter;
        let group = GroupReason::of_dead_letter(code, destination, source, mapping, attempts);
        let (at, attempts) = (letter.at.timestamp_millis(), super::to_json(attempts));
        connection.prepare_cached(&INSERT_DEAD_LETTER)?.execute(named_params! {
            ":at": at,
            ":destination": destination,
            ":user": letter.user,
            ":source": source,
            ":mapping": mapping,
            ":action": letter.action,
            ":path": letter.path,
            ":body": letter.body,
            ":original": letter.original,
            ":warnings": letter.warnings,
            ":attempts": attempts,
            ":said": last_delivered::to_bytes(&letter.fingerprints),
            ":event": letter.event.0.cast_signed(),
            ":name": letter.name,
            ":message_id": letter.message_id,
            ":code": code,
            ":kept_at": kept_at(letter.at, now),
            ":number": letter.number,
            ":reason": group.key(),
        })?;
        groups::add(connection, &group, connection.last_insert_rowid(), at)?;
        let bytes = (letter.body.len() + letter.original.len() + attempts.len()) as u64;
        self.usage.dead_letters.add(Amount { rows: 1, bytes });
        Ok(())
    }

    fn store_reject(&mut self, reject: &StoredReject, staged: &mut Group, now: Now) -> Result<()> {
        let connection = &self.store.connection;
        let group = GroupReason::of_reject(&reject.source, &reject.reasons);
        let at = reject.at.timestamp_millis();
        connection.prepare_cached(&INSERT_REJECT)?.execute(named_params! {
            ":at": at,
            ":source": reject.source,
            ":form": reject.form,
            ":original": reject.original,
            ":reasons": reject.reasons,
            ":event": reject.event.0.cast_signed(),
            ":name": reject.name,
            ":user": reject.user,
            ":message_id": reject.message_id,
            ":code": reject.code,
            ":envelope": reject.envelope,
            ":kept_at": kept_at(reject.at, now),
            ":reason": group.key(),
        })?;
        let id = connection.last_insert_rowid();
        groups::add(connection, &group, id, at)?;
        staged.reject = id;
        let bytes = (reject.original.len() + reject.reasons.len()) as u64;
        self.usage.rejects.add(Amount { rows: 1, bytes });
        Ok(())
    }
}

/// The running time at which it was made, as far as the wall clock tells.
fn kept_at(at: DateTime<Utc>, now: Now) -> i64 {
    let age = (now.wall - at).max(chrono::Duration::zero());
    now.running.checked_sub_signed(age).unwrap_or(now.running).timestamp_millis()
}
