//! Turns records that are moved from another outbox into messages.
//!
//! A chunk gets its number when it is stored. Parked calls and dead letters need a number before that. They get the number of this
//! relay's last record: no chunk has it, and it comes before all chunks of the batch.

use std::collections::HashSet;

use bytes::Bytes;
use chrono::Utc;

use super::super::chunk::Job;
use super::super::frame::{self, Fields, Text};
use super::super::jobs::Job as EndedJob;
use super::super::moved::MovedRecord;
use super::super::{DeadLetter, Place, Position, Priority, StoredReject};
use super::batch::Message;
use super::codec;
use super::commit::Committer;
use super::failure_records::{self, CallRecord, RejectRecord};
use super::group::Group;
use super::stage::{CHUNK_BYTES, LAST_DELIVERED_TTL};
use super::stream::Meta;

impl Committer {
    /// Returns the number of calls, dead letters and rejects.
    pub(super) fn store_moved(&mut self, moving_job: i64, moved: &[MovedRecord], group: &mut Group) -> usize {
        let (mut count, mut index, mut in_chunks) = (0, 0, HashSet::new());
        let mut last_delivered = Vec::new();
        for record in moved {
            count += 1;
            match record {
                MovedRecord::Call { job, attempts, next_attempt_at } => {
                    let key = (job.destination.as_str(), job.user.as_str());
                    // Usually only the first call of a user has attempts; its position must not be before an earlier one's.
                    if attempts.is_empty() || in_chunks.contains(&key) {
                        in_chunks.insert(key);
                        self.store_moved_call(job, group);
                    } else {
                        let job = self.placed(job, &mut index);
                        let call = CallRecord {
                            next_attempt_at: *next_attempt_at,
                            ..CallRecord::new(&job, attempts)
                        };
                        let Position { lane, chunk, index } = job.place.position();
                        group.push(Message::new(
                            self.shared.subjects.parked(lane, chunk, index),
                            failure_records::call(&call),
                        ));
                        group.added.add(1, (job.body.len() + job.original.len()) as u64);
                    }
                }
                MovedRecord::DeadLetter(letter) => {
                    let job = self.placed(&job_of(letter), &mut index);
                    let call = CallRecord {
                        code: &letter.code,
                        at: Some(letter.at),
                        ..CallRecord::new(&job, &letter.attempts)
                    };
                    let Position { lane, chunk, index } = job.place.position();
                    let subject = self.shared.subjects.dead_letter(lane, chunk, index);
                    group.push(Message::new(subject, failure_records::call(&call)));
                }
                MovedRecord::Reject(reject) => self.store_moved_reject(reject, group),
                MovedRecord::LastDelivered(fingerprint, at) => {
                    count -= 1;
                    let age = (Utc::now() - at).to_std().unwrap_or_default();
                    last_delivered.push((*fingerprint, LAST_DELIVERED_TTL.saturating_sub(age)));
                }
                MovedRecord::Job(job) => {
                    count -= 1;
                    self.put_task(EndedJob { id: job.id + moving_job, ..job.clone() }, group);
                }
            }
        }
        // All go into one message, which is kept as long as the oldest id in it.
        if let Some(ttl) = last_delivered.iter().map(|(_, ttl)| *ttl).min() {
            let fingerprints: Vec<_> =
                last_delivered.into_iter().map(|(fingerprint, _)| fingerprint).collect();
            let subject = self.shared.subjects.fingerprints(0, &self.shared.relay, self.next_number());
            group.push(Message::new(subject, codec::fingerprints(&fingerprints)).keep_for(ttl));
        }
        count
    }

    /// Ends the relays that were silent when the mover took over their lanes: the stream refuses their batches.
    pub(super) fn mark_moved(&self, to: &str, group: &mut Group) {
        let subject = self.shared.subjects.meta();
        let meta = Meta { moved_to: Some(to.to_owned()), ..self.shared.meta.clone() };
        group.push(Message::new(subject, codec::json(&meta)));
        for relay in self.shared.with_state(|state| state.other_relays(&self.shared.relay)) {
            self.fence_relay(&relay, group);
        }
    }

    fn store_moved_call(&mut self, job: &Job, group: &mut Group) {
        let lane = self.shared.lane_of(job.user.as_str());
        let chunk = group.building(lane);
        frame::write_head(&mut chunk.bytes, job.event, job.source.as_str(), &job.original, 1);
        frame::write_request(&mut chunk.bytes, &fields(job));
        chunk.requests += 1;
        self.close_chunk(lane, CHUNK_BYTES, group);
    }

    fn store_moved_reject(&mut self, reject: &StoredReject, group: &mut Group) {
        let subject = self.shared.subjects.reject(&self.shared.relay, self.next_number());
        let body = failure_records::reject(&RejectRecord {
            event: reject.event.0,
            at: reject.at.timestamp_millis(),
            source: &reject.source,
            form: &reject.form,
            original: &reject.original,
            reasons: &reject.reasons,
            envelope: reject.envelope.as_deref(),
        });
        group.push(Message::new(subject, body));
    }

    /// Returns the call with a position that no other call has.
    fn placed(&self, job: &Job, index: &mut u32) -> Job {
        let lane = self.shared.lane_of(job.user.as_str());
        let chunk = i64::try_from(self.own).unwrap_or(i64::MAX);
        let position = Position { lane, chunk, index: *index };
        *index += 1;
        Job { place: Place::Chunk { position, of: u32::MAX }, ..job.clone() }
    }
}

fn job_of(letter: &DeadLetter) -> Job {
    let text = |text: &str| Text::from(text.to_owned());
    Job {
        place: Place::Parked { row: 0, position: Position::start(0) },
        event: letter.event,
        request: letter.number,
        priority: Priority::Live,
        source: text(&letter.source),
        original: Bytes::copy_from_slice(&letter.original),
        destination: text(&letter.destination),
        user: text(&letter.user),
        path: text(&letter.path),
        body: Bytes::copy_from_slice(&letter.body),
        mapping: text(&letter.mapping),
        action: text(&letter.action),
        warnings: text(&letter.warnings),
        fingerprints: letter.fingerprints.clone(),
    }
}

fn fields(job: &Job) -> Fields<'_> {
    Fields {
        destination: job.destination.as_str(),
        user: job.user.as_str(),
        path: job.path.as_str(),
        body: &job.body,
        mapping: job.mapping.as_str(),
        action: job.action.as_str(),
        warnings: job.warnings.as_str(),
        fingerprints: &job.fingerprints,
        number: Some(job.request),
        priority: job.priority,
    }
}
