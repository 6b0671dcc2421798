//! Turns posts and settlements into the messages of one atomic batch. Never publishes and never answers.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use chrono::Utc;

use super::super::frame::{self, Fields};
use super::super::recent::Identity;
use super::super::{AcceptError, Accepted, Place, Position, Priority, Settlement, Submission};
use super::batch::Message;
use super::codec;
use super::command::Command;
use super::commit::Committer;
use super::failure_records::{self, CallRecord, RejectRecord};
use super::group::{Group, NewChunk, NewDeadLetter, Outcome};
use crate::accoil::Request;

/// A chunk is closed at this many bytes, because a reader holds a whole chunk in memory and a message has a size limit.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
/// The most rejects of one submission that are stored in one batch with its requests.
pub(super) const MOST_REJECTS: usize = 200;
pub(super) const LAST_DELIVERED_TTL: Duration = Duration::from_secs(30 * 86_400);

impl Committer {
    pub(super) fn stage(&mut self, command: &Command, group: &mut Group) -> Outcome {
        match command {
            Command::Accept { submission, replayed, priority, rejects_stored, .. } => {
                if self.room_for(group.added.bytes + submission.size() as u64).is_err() {
                    return Outcome::Refused(AcceptError::Full);
                }
                if let Some(id) = replayed
                    && !self.remove_letter(*id, group)
                {
                    // Another relay has replayed or purged the reject.
                    return Outcome::Stored { duplicates: (0..).take(submission.accepted.len()).collect() };
                }
                let duplicates = self.accept(submission, *priority, group);
                self.rejects(submission, *rejects_stored, usize::MAX, group);
                Outcome::Stored { duplicates }
            }
            Command::Settle { lane, epoch, settlements } => {
                if self.owns(*lane, *epoch) {
                    for settlement in settlements {
                        self.settle(settlement, group);
                    }
                }
                Outcome::Done
            }
            Command::Drained { lane, epoch } => {
                self.note_drained(*lane, *epoch);
                Outcome::Done
            }
            Command::Replay { dead_letters, .. } => Outcome::Replayed(self.replay(dead_letters, group)),
            Command::Purge { ids, .. } => Outcome::Changed(self.purge(ids, group)),
            Command::Retry { users, .. } => {
                for (destination, user) in users {
                    self.make_due(destination, user, group);
                }
                Outcome::Changed(users.len())
            }
            Command::Move { jobs, to, .. } => Outcome::Changed(self.move_calls(jobs, to.as_deref(), group)),
            Command::KeepValue { name, value, .. } => {
                let subject = self.shared.subjects.value(name);
                group.push(match value {
                    Some(value) => Message::new(subject, value.to_le_bytes().to_vec()),
                    None => Message::removal(subject),
                });
                Outcome::Done
            }
            Command::MarkMoved { to, .. } => {
                self.mark_moved(to, group);
                Outcome::Done
            }
            Command::ChangeJob { change, .. } => Outcome::Job(self.change_job(change, group)),
            Command::Advance { step, .. } => Outcome::Advanced(self.advance(step, group)),
            Command::KeepHouse { .. } => Outcome::HouseKept { is_more: self.keep_house(group) },
            Command::Mark { .. } => {
                group.is_marked = true;
                Outcome::Done
            }
            Command::Flush { .. } | Command::Close { .. } => Outcome::Done,
        }
    }

    /// Returns the indexes of the events that had been accepted before.
    pub(super) fn accept(
        &mut self,
        submission: &Submission,
        priority: Priority,
        group: &mut Group,
    ) -> Vec<u32> {
        let mut duplicates = Vec::new();
        let now = Utc::now();
        for (index, event) in (0..).zip(&submission.accepted) {
            if let Some(identity) = self.identity(submission, event) {
                let mut ids = self.shared.ids.lock().unwrap_or_else(PoisonError::into_inner);
                if !ids.accept(&identity, now) {
                    duplicates.push(index);
                    continue;
                }
                drop(ids);
                group.identities.push(identity);
            }
            self.write_event(&submission.source, event, priority, group);
        }
        duplicates
    }

    fn identity(&self, submission: &Submission, event: &Accepted) -> Option<Identity> {
        let id = event.message_id.as_deref()?;
        let window = submission.deduplication_window;
        (!window.is_zero()).then(|| Identity::new(self.shared.meta.key, &submission.source, id, window))
    }

    /// Adds the requests of an event to the chunks of their lanes, each with its number within the event.
    fn write_event(&mut self, source: &str, event: &Accepted, priority: Priority, group: &mut Group) {
        let mut by_lane: BTreeMap<u16, Vec<(u8, &Request)>> = BTreeMap::new();
        for (number, request) in event.requests.iter().enumerate() {
            let number = u8::try_from(number).unwrap_or(u8::MAX);
            by_lane.entry(self.shared.lane_of(&request.user)).or_default().push((number, request));
        }
        for (lane, requests) in by_lane {
            let building = group.building(lane);
            frame::write_head(&mut building.bytes, event.event, source, &event.original, requests.len());
            for (number, request) in requests {
                let fields = Fields { number: Some(number), priority, ..Fields::of(request) };
                frame::write_request(&mut building.bytes, &fields);
                building.requests += 1;
            }
            self.close_chunk(lane, CHUNK_BYTES, group);
        }
    }

    /// Turns the lane's chunk into a message if it has this many bytes.
    pub(super) fn close_chunk(&mut self, lane: u16, from: usize, group: &mut Group) {
        let Some(building) = group.building.get_mut(&lane) else { return };
        if building.requests == 0 || building.bytes.len() < from {
            return;
        }
        let NewChunk { bytes, requests } = std::mem::take(building);
        let subject = self.shared.subjects.chunk(lane, &self.shared.relay, self.next_number());
        let body = codec::chunk(requests, &bytes);
        group.added.add(u64::from(requests), body.len() as u64);
        let message = group.push(Message::new(subject, body));
        group.chunks.push((lane, message));
    }

    /// Stores the rejects from this one on.
    pub(super) fn rejects(&mut self, submission: &Submission, from: usize, most: usize, group: &mut Group) {
        for reject in submission.rejects.iter().skip(from).take(most) {
            let subject = self.shared.subjects.reject(&self.shared.relay, self.next_number());
            let body = failure_records::reject(&RejectRecord {
                event: reject.event.0,
                at: submission.received_at.timestamp_millis(),
                source: &submission.source,
                form: submission.form.name(),
                original: &reject.original,
                reasons: &reject.reasons,
                envelope: reject.envelope.as_deref(),
            });
            group.rejects.add(1, (reject.original.len() + reject.reasons.len()) as u64);
            group.push(Message::new(subject, body));
        }
    }

    fn settle(&mut self, settlement: &Settlement, group: &mut Group) {
        match settlement {
            Settlement::Delivered { place, fingerprints } => {
                if !fingerprints.is_empty() {
                    let lane = place.position().lane;
                    group.fingerprints.entry(lane).or_default().extend_from_slice(fingerprints);
                }
                self.leave(*place, group);
            }
            Settlement::Parked { job, attempts, next_attempt_at } => {
                let Position { lane, chunk, index } = job.place.position();
                let subject = self.shared.subjects.parked(lane, chunk, index);
                let body = failure_records::call(&CallRecord {
                    next_attempt_at: *next_attempt_at,
                    ..CallRecord::new(job, attempts)
                });
                group.push_fenced(lane, Message::new(subject, body));
                if matches!(job.place, Place::Chunk { .. }) {
                    group.added.add(1, (job.body.len() + job.original.len()) as u64);
                    self.leave(job.place, group);
                }
            }
            Settlement::Dead { job, attempts, reason } => {
                let Position { lane, chunk, index } = job.place.position();
                let subject = self.shared.subjects.dead_letter(lane, chunk, index);
                let body = failure_records::call(&CallRecord {
                    code: reason.code(),
                    ..CallRecord::new(job, attempts)
                });
                let message = group.push_fenced(lane, Message::new(subject, body));
                group.dead.push(NewDeadLetter {
                    message,
                    event: job.event,
                    destination: job.destination.as_str().to_owned(),
                    mapping: job.mapping.as_str().to_owned(),
                    reason: *reason,
                    status: attempts.last().and_then(|attempt| attempt.status),
                });
                self.leave(job.place, group);
            }
        }
    }

    /// Removes a request from its chunk or from the parked calls.
    fn leave(&mut self, place: Place, group: &mut Group) {
        match place {
            Place::Parked { position: Position { lane, chunk, index }, .. } => {
                let bytes = self.with_mirror(|mirror| mirror.parked_bytes(place.position())).flatten();
                if let Some(bytes) = bytes {
                    group.removed.add(1, bytes);
                }
                let subject = self.shared.subjects.parked(lane, chunk, index);
                group.push_fenced(lane, Message::removal(subject));
            }
            Place::Chunk { position: position @ Position { lane, chunk, index }, .. } => {
                let Some(owned) = self.lane(lane) else { return };
                let is_new =
                    owned.with_open(|open| open.get_mut(&chunk).is_some_and(|chunk| chunk.settle(index)));
                if is_new {
                    group.marked.push(position);
                    group.removed.add(1, 0);
                }
                group.touched.insert((lane, chunk));
            }
        }
    }

    /// Adds the messages that sum up all commands of the group: chunks, progress, ids.
    pub(super) fn finish(&mut self, group: &mut Group) {
        for lane in group.building.keys().copied().collect::<Vec<_>>() {
            self.close_chunk(lane, 0, group);
        }
        for (lane, chunk) in std::mem::take(&mut group.touched) {
            self.save_progress(lane, chunk, group);
        }
        for (lane, fingerprints) in std::mem::take(&mut group.fingerprints) {
            self.store_fingerprints(lane, &fingerprints, group);
        }
        self.store_ids(group);
    }

    fn save_progress(&mut self, lane: u16, chunk: i64, group: &mut Group) {
        let Some(owned) = self.lane(lane) else { return };
        let known = owned.with_open(|open| {
            let known = open.get(&chunk)?;
            Some((
                known.is_complete(),
                known.subject.clone(),
                known.bytes,
                codec::progress(known.of, &known.settled),
            ))
        });
        let Some((is_complete, subject, bytes, progress)) = known else { return };
        let of_progress = self.shared.subjects.progress(lane, chunk);
        if !is_complete {
            group.push_fenced(lane, Message::new(of_progress, progress));
            return;
        }
        group.push_fenced(lane, Message::removal(subject));
        if self.shared.with_state(|state| state.progress(lane, chunk).is_some()) {
            group.push(Message::removal(of_progress));
        }
        group.removed.add(0, bytes);
        group.completed.push((lane, chunk));
    }

    /// Updates the memory after a batch was stored.
    pub(super) fn forget_completed(&mut self, group: &Group) {
        for (lane, chunk) in &group.completed {
            if let Some(owned) = self.lane(*lane) {
                owned.with_open(|open| open.remove(chunk));
            }
        }
    }

    /// Undoes the changes in memory of a group that was not stored.
    pub(super) fn undo(&mut self, group: &Group) {
        self.shared.ids.lock().unwrap_or_else(PoisonError::into_inner).undo(&group.identities);
        for Position { lane, chunk, index } in &group.marked {
            if let Some(owned) = self.lane(*lane) {
                owned.with_open(|open| {
                    let byte = open.get_mut(chunk).and_then(|open| open.settled.get_mut(*index as usize / 8));
                    if let Some(byte) = byte {
                        *byte &= !(1 << (index % 8));
                    }
                });
            }
        }
    }
}
