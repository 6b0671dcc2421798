//! Turns what operators and jobs change into messages: replays, purges, retries, moves, jobs.
//!
//! Any relay may make such a change. So the batch names the version of each record that it changes: if another relay changed one of
//! them meanwhile, the stream stores nothing of the batch.

use chrono::Utc;

use super::super::chunk::Job;
use super::super::frame::{self, Fields};
use super::super::jobs::{Job as Task, JobChange, JobState, JobStep};
use super::super::{DeadLetter, Filter, PageFrom, Place, Position, Priority, Replayed};
use super::batch::Message;
use super::commit::Committer;
use super::failure_records::{self, CallRecord};
use super::group::Group;
use super::stage::CHUNK_BYTES;

/// How many parked calls of one user an operator makes due at a time. Usually only the first call has a time.
const MOST_DUE: usize = 2;
/// How many parked calls of one user are read to find those.
const MOST_PARKED: usize = 100;

impl Committer {
    /// Adds the requests of dead letters to the chunks of their lanes. If two relays replay the same dead letter, only the first batch
    /// is stored.
    pub(super) fn replay(&mut self, ids: &[i64], group: &mut Group) -> Replayed {
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

    /// Removes a dead letter or a reject. If another relay removed it first, the stream stores nothing of the batch.
    pub(super) fn remove_letter(&mut self, id: i64, group: &mut Group) -> bool {
        let Some(subject) = self.with_mirror(|mirror| mirror.subject(id)).flatten() else { return false };
        if group.messages.iter().any(|message| message.subject == subject) {
            return false;
        }
        group.push(Message::removal(subject.clone()).expect(subject, id.unsigned_abs()));
        true
    }

    pub(super) fn purge(&mut self, ids: &[i64], group: &mut Group) -> usize {
        ids.iter().filter(|id| self.remove_letter(**id, group)).count()
    }

    /// Stores the user's parked calls again, due now. The batch is refused if another relay changed one of the calls meanwhile.
    pub(super) fn make_due(&mut self, destination: &str, user: &str, group: &mut Group) {
        let (now, lane) = (Utc::now(), self.shared.lane_of(user));
        let mut parked =
            self.with_mirror(|mirror| mirror.parked_of(destination, user, MOST_PARKED)).unwrap_or_default();
        parked.retain(|parked| parked.next_attempt_at.is_some_and(|at| at > now));
        for mut parked in parked.into_iter().take(MOST_DUE) {
            let Place::Parked { row, position: Position { chunk, index, .. } } = parked.job.place else {
                continue;
            };
            parked.job.place = Place::Parked { row, position: Position { lane, chunk, index } };
            let subject = self.shared.subjects.parked(lane, chunk, index);
            let body = failure_records::call(&CallRecord {
                next_attempt_at: Some(now),
                is_due: true,
                ..CallRecord::new(&parked.job, &parked.attempts)
            });
            group.push(Message::new(subject.clone(), body).expect(subject, row.unsigned_abs()));
        }
    }

    /// Moves parked calls to another destination, behind all waiting calls of their users, or removes them. The batch is refused if
    /// another relay changed one of the calls. Their fingerprints belong to the old destination, so derived calls are sent again.
    pub(super) fn move_calls(&mut self, jobs: &[Job], to: Option<&str>, group: &mut Group) -> usize {
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

    pub(super) fn put_task(&mut self, task: Task, group: &mut Group) {
        let subject = self.shared.subjects.job(&task.id.to_string());
        let message = Message::new(subject.clone(), super::jobs::record(&task));
        if group.jobs.contains_key(&task.id) {
            // An earlier command of this group may have changed the job: its record is newer than the stored one.
            group.push(message);
        } else {
            let sequence = self.with_mirror(|mirror| mirror.sequence(&subject)).unwrap_or(0);
            group.push(message.expect(subject, sequence.unsigned_abs()));
        }
        group.jobs.insert(task.id, task);
    }

    pub(super) fn change_job(&mut self, change: &JobChange, group: &mut Group) -> i64 {
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

    /// Makes one step of a job and moves the job's cursor. Returns `None` if the job is not running, or if its cursor is not where the
    /// step begins. A step that was made before changes nothing.
    pub(super) fn advance(&mut self, step: &JobStep, group: &mut Group) -> Option<Vec<Option<Vec<u32>>>> {
        let mut task = self.task(step.job, group)?;
        if task.state != JobState::Running && !(step.is_last && task.state == JobState::Done) {
            return None;
        }
        if task.cursor != step.from || task.state == JobState::Done {
            return (task.cursor == step.cursor).then(|| vec![None; step.made.len()]);
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
        done += self.store_moved(step.job, &step.moved, group);
        task.cursor = step.cursor;
        task.done += done as u64;
        task.failed += step.failed;
        if step.is_last {
            task.state = JobState::Done;
        }
        self.put_task(task, group);
        Some(duplicates)
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
