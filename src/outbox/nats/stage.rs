//! Turns commands into the messages of one atomic batch. Never publishes and never answers.
//!
//! Every change in memory is noted in the [`Group`], so that it can be undone if the batch is not stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::PoisonError;

use chrono::Utc;

use super::super::chunk::Job;
use super::super::frame::{self, Fields};
use super::super::jobs::{Job as Task, JobChange, JobState, JobStep};
use super::super::recent::Identity;
use super::super::{
    AcceptError, Accepted, DeadLetter, Filter, Kind, PageFrom, Place, Position, Priority, Replayed,
    Settlement, Submission,
};
use super::batch::Message;
use super::codec::{self, StoredReject, Tally};
use super::command::Command;
use super::commit::Committer;
use crate::accoil::Request;
use crate::event_id::EventId;
use crate::reasons::Reason;

/// A chunk is closed at this size: a reader holds a whole chunk in memory, and a message has a limit.
const CHUNK_BYTES: usize = 256 << 10;
/// Rejects of one submission that are stored with the rest of it.
pub(super) const MOST_REJECTS: usize = 400;
/// Expired rows that are removed at a time.
const HOUSEKEEPING: usize = 200;
const HOUSE_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
const LAST_DELIVERED_TTL: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);
/// Parked calls of one user that an operator makes due at a time.
const MOST_DUE: usize = 100;
/// Jobs that have ended are kept up to this many.
const MAX_ENDED: usize = 500;

/// One batch.
#[derive(Default)]
pub(super) struct Group {
    pub(super) messages: Vec<Message>,
    pub(super) bytes: usize,
    building: BTreeMap<u16, Building>,
    pub(super) identities: Vec<Identity>,
    /// Chunks of which requests were settled.
    touched: BTreeSet<(u16, i64)>,
    /// Requests that this group marked as settled.
    marked: Vec<Position>,
    /// Chunks whose requests are all settled.
    completed: Vec<(u16, i64)>,
    /// New chunks: lane and message.
    pub(super) chunks: Vec<(u16, usize)>,
    /// For each lane with settlements, the message that names its lease.
    pub(super) fenced: BTreeMap<u16, usize>,
    pub(super) dead: Vec<NewDeadLetter>,
    pub(super) added: Tally,
    pub(super) removed: Tally,
    /// New rejects.
    rejects: Tally,
    /// Jobs that this group changed.
    jobs: HashMap<i64, Task>,
}

#[derive(Default)]
struct Building {
    bytes: Vec<u8>,
    requests: u32,
}

/// What the log says about a new dead letter: nothing personal.
pub(super) struct NewDeadLetter {
    /// Its message, by which it gets its number.
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

    /// A message that only the owner of the lane may send.
    fn push_fenced(&mut self, lane: u16, message: Message) -> usize {
        let index = self.push(message);
        self.fenced.entry(lane).or_insert(index);
        index
    }

    /// The bytes of chunks that are no messages yet.
    pub(super) fn building_bytes(&self) -> usize {
        self.building.values().map(|building| building.bytes.len()).sum()
    }

    fn building(&mut self, lane: u16) -> &mut Building {
        self.building.entry(lane).or_default()
    }
}

impl Committer {
    pub(super) fn stage(&mut self, command: &Command, group: &mut Group) -> Outcome {
        match command {
            Command::Accept { submission, replayed, priority, rejects_stored, .. } => {
                if self.room_for(group.added.bytes + submission.size() as u64).is_err() {
                    return Outcome::Refused(AcceptError::Full);
                }
                if let Some(id) = replayed {
                    self.remove_letter(*id, group);
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
            Command::ChangeJob { change, .. } => Outcome::Job(self.change_job(change, group)),
            Command::Advance { step, .. } => Outcome::Advanced(self.advance(step, group)),
            Command::KeepHouse { .. } => Outcome::HouseKept { is_more: self.keep_house(group) },
            Command::Flush { .. } | Command::Close { .. } => Outcome::Done,
        }
    }

    /// Returns the indexes of the events that had been accepted before.
    fn accept(&mut self, submission: &Submission, priority: Priority, group: &mut Group) -> Vec<u32> {
        let mut duplicates = Vec::new();
        let now = Utc::now();
        for (index, event) in (0..).zip(&submission.accepted) {
            if let Some(identity) = self.identity(submission, event) {
                let mut recent = self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner);
                if !recent.insert(&identity, now) {
                    duplicates.push(index);
                    continue;
                }
                drop(recent);
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
    fn close_chunk(&mut self, lane: u16, from: usize, group: &mut Group) {
        let Some(building) = group.building.get_mut(&lane) else { return };
        if building.requests == 0 || building.bytes.len() < from {
            return;
        }
        let Building { bytes, requests } = std::mem::take(building);
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
            let body = codec::reject(&StoredReject {
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
                    let subject =
                        self.shared.subjects.fingerprints(lane, &self.shared.relay, self.next_number());
                    let message = Message::new(subject, codec::fingerprints(fingerprints));
                    group.push_fenced(lane, message.keep_for(LAST_DELIVERED_TTL));
                }
                self.leave(*place, group);
            }
            Settlement::Parked { job, attempts, next_attempt_at } => {
                let Position { lane, chunk, index } = job.place.position();
                let subject = self.shared.subjects.parked(lane, chunk, index);
                let body = codec::call(job, attempts, *next_attempt_at, "", false);
                group.push_fenced(lane, Message::new(subject, body));
                if matches!(job.place, Place::Chunk { .. }) {
                    group.added.add(1, (job.body.len() + job.original.len()) as u64);
                    self.leave(job.place, group);
                }
            }
            Settlement::Dead { job, attempts, reason } => {
                let Position { lane, chunk, index } = job.place.position();
                let subject = self.shared.subjects.dead_letter(lane, chunk, index);
                let body = codec::call(job, attempts, None, reason.code(), false);
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

    /// Removes a request from its place.
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

    /// Adds what follows from all commands of the group: chunks, progress, ids.
    pub(super) fn finish(&mut self, group: &mut Group) {
        for lane in group.building.keys().copied().collect::<Vec<_>>() {
            self.close_chunk(lane, 0, group);
        }
        for (lane, chunk) in std::mem::take(&mut group.touched) {
            self.save_progress(lane, chunk, group);
        }
        if !group.identities.is_empty() {
            let subject = self.shared.subjects.ids(&self.shared.relay, self.next_number());
            let message = Message::new(subject, codec::ids(&group.identities));
            group.push(message.keep_for(self.settings.longest_window));
        }
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

    /// After a batch was stored.
    pub(super) fn forget_completed(&mut self, group: &Group) {
        for (lane, chunk) in &group.completed {
            if let Some(owned) = self.lane(*lane) {
                owned.with_open(|open| open.remove(chunk));
            }
        }
    }

    /// Undoes in memory what a group that was not stored changed.
    pub(super) fn undo(&mut self, group: &Group) {
        let mut recent = self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner);
        group.identities.iter().for_each(|identity| recent.forget(identity));
        drop(recent);
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

    /// Adds the requests of dead letters to the chunks of their lanes. Only one relay can replay a dead letter.
    fn replay(&mut self, ids: &[i64], group: &mut Group) -> Replayed {
        let mut replayed = Replayed::default();
        for id in ids {
            let filter = Filter { ids: vec![*id], ..Filter::default() };
            let found = self.with_mirror(|mirror| mirror.dead_letters_page(&filter, PageFrom::After(0), 1));
            let Some(letter) = found.and_then(|found| found.into_iter().next()) else { continue };
            if !self.remove_letter(*id, group) {
                continue;
            }
            let lane = self.shared.lane_of(&letter.user);
            let building = group.building(lane);
            frame::write_head(&mut building.bytes, letter.event, &letter.source, &letter.original, 1);
            frame::write_request(&mut building.bytes, &fields(&letter));
            building.requests += 1;
            self.close_chunk(lane, CHUNK_BYTES, group);
            replayed.calls += 1;
        }
        replayed
    }

    /// Removes a dead letter or reject, if it still exists when the batch is stored; otherwise nothing of the batch is.
    fn remove_letter(&mut self, id: i64, group: &mut Group) -> bool {
        let Some(subject) = self.with_mirror(|mirror| mirror.subject(id)).flatten() else { return false };
        if group.messages.iter().any(|message| message.subject == subject) {
            return false;
        }
        group.push(Message::removal(subject.clone()).expect(subject, id.unsigned_abs()));
        true
    }

    fn purge(&mut self, ids: &[i64], group: &mut Group) -> usize {
        ids.iter().filter(|id| self.remove_letter(**id, group)).count()
    }

    /// Stores the user's parked calls again, due now. Any relay may do this, so each must still be as it was read.
    fn make_due(&mut self, destination: &str, user: &str, group: &mut Group) {
        let (now, lane) = (Utc::now(), self.shared.lane_of(user));
        let parked = self.with_mirror(|mirror| mirror.parked_of(destination, user, MOST_DUE));
        for mut parked in parked.unwrap_or_default() {
            let Place::Parked { row, position: Position { chunk, index, .. } } = parked.job.place else {
                continue;
            };
            if parked.next_attempt_at.is_none_or(|at| at <= now) {
                continue;
            }
            parked.job.place = Place::Parked { row, position: Position { lane, chunk, index } };
            let subject = self.shared.subjects.parked(lane, chunk, index);
            let body = codec::call(&parked.job, &parked.attempts, Some(now), "", true);
            group.push(Message::new(subject.clone(), body).expect(subject, row.unsigned_abs()));
        }
    }

    /// Moves parked calls to another destination, after all waiting calls of their users, or removes them. Each must still be as it was
    /// read. Their fingerprints belong to the old destination, so derived calls are sent again.
    fn move_calls(&mut self, jobs: &[Job], to: Option<&str>, group: &mut Group) -> usize {
        let mut moved = 0;
        for job in jobs {
            let Place::Parked { row, position: position @ Position { chunk, index, .. } } = job.place else {
                continue;
            };
            let Some(bytes) = self.with_mirror(|mirror| mirror.parked_bytes(position)).flatten() else {
                continue;
            };
            let lane = self.shared.lane_of(job.user.as_str());
            let subject = self.shared.subjects.parked(lane, chunk, index);
            group.push(Message::removal(subject.clone()).expect(subject, row.unsigned_abs()));
            group.removed.add(1, bytes);
            moved += 1;
            if let Some(destination) = to {
                let building = group.building(lane);
                frame::write_head(&mut building.bytes, job.event, job.source.as_str(), &job.original, 1);
                frame::write_request(&mut building.bytes, &moved_fields(job, destination));
                building.requests += 1;
                self.close_chunk(lane, CHUNK_BYTES, group);
            }
        }
        moved
    }

    /// Returns the job as this group leaves it.
    fn task(&self, id: i64, group: &Group) -> Option<Task> {
        group.jobs.get(&id).cloned().or_else(|| self.with_mirror(|mirror| mirror.job(id)).flatten())
    }

    fn put_task(&mut self, task: Task, group: &mut Group) {
        let subject = self.shared.subjects.job(&task.id.to_string());
        let message = Message::new(subject.clone(), super::jobs::record(&task));
        if group.jobs.contains_key(&task.id) {
            // The group's own earlier record comes first.
            group.push(message);
        } else {
            let sequence = self.with_mirror(|mirror| mirror.sequence(&subject)).unwrap_or(0);
            group.push(message.expect(subject, sequence.unsigned_abs()));
        }
        group.jobs.insert(task.id, task);
    }

    fn change_job(&mut self, change: &JobChange, group: &mut Group) -> i64 {
        match change {
            JobChange::Create { job, at } => {
                let stored = self.with_mirror(|mirror| mirror.next_job()).unwrap_or(1);
                let id = group.jobs.keys().copied().max().map_or(stored, |last| stored.max(last + 1));
                let state = if job.expect == 0 { JobState::Done } else { JobState::Running };
                let task = Task {
                    id,
                    kind: job.kind.to_owned(),
                    order: job.order.clone(),
                    up_to: job.up_to,
                    expect: job.expect,
                    cursor: 0,
                    done: 0,
                    failed: 0,
                    state,
                    by: job.by.clone(),
                    at: *at,
                    note: String::new(),
                };
                self.put_task(task, group);
                id
            }
            JobChange::SetState { id, from, to, note } => {
                let Some(mut task) = self.task(*id, group).filter(|task| from.contains(&task.state)) else {
                    return 0;
                };
                task.state = *to;
                task.note.clone_from(note);
                self.put_task(task, group);
                1
            }
        }
    }

    /// Does a step of a job and moves the job on; `None` if the job is not running, or another relay did this step.
    fn advance(&mut self, step: &JobStep, group: &mut Group) -> Option<Vec<Option<Vec<u32>>>> {
        let mut task = self.task(step.job, group)?;
        // Nothing moves an outbox into a cluster yet.
        if task.state != JobState::Running || step.cursor < task.cursor || !step.taken.is_empty() {
            return None;
        }
        let mut done = self.replay(&step.dead_letters, group).calls;
        let mut duplicates = Vec::with_capacity(step.made.len());
        for (replayed, submission) in &step.made {
            if let Some(id) = replayed
                && !self.remove_letter(*id, group)
            {
                duplicates.push(None);
                continue;
            }
            duplicates.push(Some(self.accept(submission, Priority::Background, group)));
            self.rejects(submission, 0, usize::MAX, group);
            done += 1;
        }
        done += self.purge(&step.purged, group);
        task.cursor = step.cursor;
        task.done += done as u64;
        task.failed += step.failed;
        if step.is_last {
            task.state = JobState::Done;
        }
        self.put_task(task, group);
        Some(duplicates)
    }

    /// Once after the start and once a minute, and whenever the rejects are over their size.
    pub(super) fn keep_house_if_due(&mut self, group: &mut Group) {
        if self.lane(0).is_none() || self.is_closing() {
            return;
        }
        if !group.messages.is_empty() && self.house_kept_at.is_none_or(|at| at.elapsed() >= HOUSE_EVERY) {
            self.house_kept_at = Some(tokio::time::Instant::now());
            self.keep_house(group);
        }
        let (_, kept) = *self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, bytes) = (kept.rows + group.rejects.rows, kept.bytes + group.rejects.bytes);
        let Some(over) = bytes.checked_sub(self.settings.rejects.bytes).filter(|over| *over > 0) else {
            return;
        };
        let each = (bytes / rows.max(1)).max(1);
        let most = usize::try_from(over.div_ceil(each)).unwrap_or(HOUSEKEEPING).min(HOUSEKEEPING);
        let oldest = self
            .with_mirror(|mirror| mirror.older_than(Kind::Reject, chrono::DateTime::<Utc>::MAX_UTC, most));
        self.purge(&oldest.unwrap_or_default(), group);
    }

    /// Removes expired dead letters and rejects, and old jobs. One relay does it: the owner of
    /// the first lane.
    fn keep_house(&mut self, group: &mut Group) -> bool {
        if self.lane(0).is_none() {
            return false;
        }
        let now = Utc::now();
        let mut removed = 0;
        for (kind, retention) in
            [(Kind::DeadLetter, self.settings.dead_letters), (Kind::Reject, self.settings.rejects)]
        {
            let age = chrono::Duration::from_std(retention.age).unwrap_or(chrono::Duration::MAX);
            let Some(before) = now.checked_sub_signed(age) else { continue };
            let old = self.with_mirror(|mirror| mirror.older_than(kind, before, HOUSEKEEPING));
            removed += self.purge(&old.unwrap_or_default(), group);
        }
        for job in self.with_mirror(|mirror| mirror.ended_jobs(MAX_ENDED)).unwrap_or_default() {
            group.push(Message::removal(self.shared.subjects.job(&job.to_string())));
        }
        removed >= HOUSEKEEPING
    }
}

fn moved_fields<'a>(job: &'a Job, destination: &'a str) -> Fields<'a> {
    Fields {
        destination,
        user: job.user.as_str(),
        path: job.path.as_str(),
        body: &job.body,
        mapping: job.mapping.as_str(),
        action: job.action.as_str(),
        warnings: job.warnings.as_str(),
        fingerprints: &[],
        number: Some(job.request),
        priority: job.priority,
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
        number: Some(letter.number),
        priority: Priority::Background,
    }
}
