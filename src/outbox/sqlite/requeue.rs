//! Stages calls that are stored again: dead letters that are replayed, calls that move to another destination, steps of jobs.

use rusqlite::Result;

use super as sqlite;
use super::stage::Group;
use super::writer::Writer;
use crate::outbox::chunk::Job;
use crate::outbox::clock::Now;
use crate::outbox::frame::{self, Fields};
use crate::outbox::jobs::{JobChange, JobStep};
use crate::outbox::{DeadLetter, Kind, Priority, Replayed, Stored};

impl Writer {
    /// Removes calls from their places, and returns how many there were. If there is a new destination, adds them to the chunk that is being filled, after
    /// all waiting calls of their users. Their fingerprints belong to the old destination, so derived calls are sent
    /// again.
    pub(super) fn move_calls(&mut self, jobs: &[Job], to: Option<&str>, group: &mut Group) -> Result<usize> {
        let mut moved = 0;
        for job in jobs {
            if !self.leave(job.place, group)? {
                continue;
            }
            moved += 1;
            if let Some(destination) = to {
                frame::write_head(&mut group.bytes, job.event, job.source.as_str(), &job.original, 1);
                let call = Fields { destination, fingerprints: &[], ..fields(job) };
                frame::write_request(&mut group.bytes, &call);
                group.requests += 1;
                self.close_chunk(group)?;
            }
        }
        Ok(moved)
    }

    /// Does a step of a job and moves the job on; `None` if the job is not running.
    pub(super) fn advance(
        &mut self,
        step: &JobStep,
        group: &mut Group,
        now: Now,
    ) -> Result<Option<Vec<Option<Vec<u32>>>>> {
        let Some(cursor) = sqlite::running_job(&self.store.connection, step.job)? else { return Ok(None) };
        if cursor != step.from {
            // It was stored before, or the job is elsewhere.
            return Ok((cursor == step.cursor).then(|| vec![None; step.made.len()]));
        }
        let Replayed { calls: mut done, damaged } = self.replay(&step.dead_letters, group)?;
        let mut duplicates = Vec::with_capacity(step.made.len());
        for (replayed, submission) in &step.made {
            if let Some(id) = replayed
                && self.remove(Kind::Reject, &[*id])? + self.remove(Kind::DeadLetter, &[*id])? == 0
            {
                // Another replay or a purge was faster.
                duplicates.push(None);
                continue;
            }
            duplicates.push(Some(self.accept(submission, Priority::Background, group, now)?));
            done += 1;
        }
        done += self.remove(Kind::DeadLetter, &step.purged)? + self.remove(Kind::Reject, &step.purged)?;
        done += self.store_moved(step.job, &step.moved, group, now)?;
        let JobStep { job, cursor, is_last, .. } = *step;
        let failed = step.failed + damaged.len() as u64;
        sqlite::advance_job(&self.store.connection, job, cursor, done, failed, is_last)?;
        Ok(Some(duplicates))
    }

    /// Adds the requests of dead letters to the chunk that is being filled, after all waiting calls of their users.
    /// Damaged dead letters stay.
    pub(super) fn replay(&mut self, ids: &[i64], group: &mut Group) -> Result<Replayed> {
        let mut replayed = Replayed::default();
        let mut sent = Vec::new();
        for id in ids {
            let Some(letter) = sqlite::dead_letter(&self.store.connection, *id)? else { continue };
            if letter.is_damaged {
                self.shown.damage.report(Stored::DeadLetter, *id);
                replayed.damaged.push(*id);
            } else {
                sent.push(*id);
                frame::write_head(&mut group.bytes, letter.event, &letter.source, &letter.original, 1);
                frame::write_request(&mut group.bytes, &fields_of(&letter));
                group.add_background(&letter.destination);
                group.requests += 1;
                self.close_chunk(group)?;
            }
        }
        replayed.calls = self.remove(Kind::DeadLetter, &sent)?;
        Ok(replayed)
    }

    pub(super) fn change_job(&self, change: &JobChange) -> Result<i64> {
        let connection = &self.store.connection;
        match change {
            JobChange::Create { job, at } => sqlite::create_job(connection, job, *at),
            JobChange::SetState { id, from, to, note } => {
                sqlite::set_job_state(connection, *id, from, *to, note).map(i64::from)
            }
        }
    }
}

/// A call as it is stored.
pub(super) fn fields(job: &Job) -> Fields<'_> {
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

fn fields_of(letter: &DeadLetter) -> Fields<'_> {
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
