//! Moves everything from one outbox into a new one, in steps that a kill does not repeat.
//!
//! The move is a job of the new outbox: what a step stores, and how far the move is, are one commit. The old outbox is
//! only read. First come settings, ended jobs and fingerprints, then dead letters and rejects in their order, then the
//! waiting calls in theirs. Ids for de-duplication stay behind: each outbox hashes them with a key of its own.

use std::time::Duration;

use super::moved::MovedRecord;
use super::{
    AcceptError, ChangeError, Filter, JobState, JobStep, NewJob, Outbox, PageFrom, Position, ReadError,
    Usage, WaitingFilter, WaitingFor,
};

/// The kind of the job.
const MOVE: &str = "move";
/// The most jobs that are searched for the move.
const MAX_JOBS: usize = 10_000;
/// The most fingerprints that are moved: as many as a dispatcher remembers.
const MAX_FINGERPRINTS: usize = 500_000;
/// The most fingerprints of one step.
const FINGERPRINTS: usize = 5_000;
/// Records of one step that have a place of their own in the new outbox. The rest of a step shares chunks.
const SINGLE_RECORDS: usize = 200;
/// While a cluster does not answer, a step is tried again, this often.
const TRIES: usize = 120;
const RETRY_DELAY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error(
        "{kind} {id} of the old outbox is not finished, and its numbers mean nothing in the new one: start the relay again, let it \
         finish or cancel it (`accoil-relay replay list`), stop the relay, then move"
    )]
    OpenJob { kind: String, id: i64 },
    #[error("the new outbox is not empty; name one that does not exist yet")]
    NotEmpty,
    #[error("an unfinished move from {from} is in the new outbox; finish that one first")]
    Other { from: String },
    #[error("the move was stopped in the new outbox; name one that does not exist yet")]
    Stopped,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// A move that has begun.
#[derive(Debug)]
pub struct Move {
    from: Outbox,
    to: Outbox,
    job: i64,
    /// The newest number of a dead letter or reject of the old outbox. The job's cursor is such a number up to here; above,
    /// it grows by one with each waiting call.
    up_to: i64,
    cursor: i64,
    /// The last waiting call that was moved, once that is known in this run.
    after: Option<Position>,
    is_finished: bool,
    records: u64,
    moved: u64,
    damaged: u64,
    /// The records of one step.
    page: usize,
}

impl Move {
    /// Begins a move, or continues the one that was interrupted. `name` is the old outbox's URL.
    pub async fn begin(from: Outbox, to: Outbox, name: &str, page: usize) -> Result<Self, MoveError> {
        if let Some(job) = from.jobs(MAX_JOBS).await?.into_iter().find(|job| job.state.is_open()) {
            return Err(MoveError::OpenJob { kind: job.kind, id: job.id });
        }
        let up_to = from.newest_number().await?;
        let Usage { waiting, dead_letters, rejects } = from.usage();
        let records = waiting.rows + dead_letters.rows + rejects.rows;
        let begun = to.jobs(MAX_JOBS).await?.into_iter().find(|job| job.kind == MOVE);
        let job = match begun {
            Some(job) if job.order != name => return Err(MoveError::Other { from: job.order }),
            Some(job) if matches!(job.state, JobState::Running | JobState::Done) => job,
            Some(_) => return Err(MoveError::Stopped),
            None if to.usage() != Usage::default() || to.newest_number().await? > 0 => {
                return Err(MoveError::NotEmpty);
            }
            None => {
                let (order, by) = (name.to_owned(), "outbox move".to_owned());
                // A job without anything to do would be done already.
                let new = NewJob { kind: MOVE, order, up_to, expect: records.max(1), by };
                let id = to.create_job(new).await?;
                to.job(id).await?.ok_or(MoveError::Stopped)?
            }
        };
        let is_finished = job.state == JobState::Done;
        let (moved, damaged) = (job.done, job.failed);
        let (job, cursor, after) = (job.id, job.cursor, None);
        Ok(Self { from, to, job, up_to, cursor, after, is_finished, records, moved, damaged, page })
    }

    /// The number of records of the old outbox.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// The number of records that were moved.
    pub const fn moved(&self) -> u64 {
        self.moved
    }

    /// The number of records that are damaged and stay.
    pub const fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Moves some more; returns false if nothing is left. Waits for a cluster that does not answer.
    pub async fn step(&mut self) -> Result<bool, MoveError> {
        let mut tries = 0;
        loop {
            match self.try_step().await {
                // Whether it was stored is not known. If it was, it changes nothing this time.
                Err(
                    MoveError::Change(ChangeError(AcceptError::Away | AcceptError::Busy))
                    | MoveError::Read(ReadError::Away),
                ) if tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                done => return done,
            }
        }
    }

    async fn try_step(&mut self) -> Result<bool, MoveError> {
        if self.is_finished {
            return Ok(false);
        }
        if self.cursor == 0 {
            self.move_settings().await?;
        }
        if self.cursor < self.up_to {
            self.move_letters().await?;
        } else {
            self.move_calls().await?;
        }
        Ok(!self.is_finished)
    }

    /// Moves settings and fingerprints. A second run, after an interruption, changes nothing.
    async fn move_settings(&self) -> Result<(), MoveError> {
        for (name, value) in self.from.kept_values("").await? {
            self.to.keep_value(name, Some(value)).await?;
        }
        let ended = self.from.jobs(MAX_JOBS).await?.into_iter().filter(|job| job.kind != MOVE);
        let ended: Vec<MovedRecord> = ended.map(MovedRecord::Job).collect();
        let mut ended = ended.into_iter().peekable();
        while ended.peek().is_some() {
            let moved = ended.by_ref().take(SINGLE_RECORDS).collect();
            self.store(JobStep { moved, ..JobStep::default() }).await?;
        }
        // Any lane knows those of all.
        let lane = self.from.lanes().borrow().owned.first().cloned();
        let Some(lane) = lane else { return Ok(()) };
        for some in lane.last_delivered(MAX_FINGERPRINTS).await?.chunks(FINGERPRINTS) {
            let moved = some.iter().map(|&(fingerprint, at)| MovedRecord::LastDelivered(fingerprint, at));
            self.store(JobStep { moved: moved.collect(), ..JobStep::default() }).await?;
        }
        Ok(())
    }

    async fn move_letters(&mut self) -> Result<(), MoveError> {
        let (filter, from) = (Filter::default(), PageFrom::After(self.cursor));
        let most = self.page.min(SINGLE_RECORDS);
        let letters = self.from.dead_letters(&filter, from, most).await?;
        let rejects = self.from.rejects(&filter, from, most).await?;
        let letters =
            letters.into_iter().map(|letter| (letter.id, letter.is_damaged, MovedRecord::DeadLetter(letter)));
        let rejects =
            rejects.into_iter().map(|reject| (reject.id, reject.is_damaged, MovedRecord::Reject(reject)));
        let mut found: Vec<_> = letters.chain(rejects).collect();
        found.sort_by_key(|(id, ..)| *id);
        found.truncate(most);
        let is_full = found.len() == most;
        let cursor = found.last().filter(|_| is_full).map_or(self.up_to, |(id, ..)| *id);
        let damaged = found.extract_if(.., |(_, is_damaged, _)| *is_damaged).count() as u64;
        let moved = found.into_iter().map(|(.., record)| record).collect();
        self.advance(JobStep { cursor, failed: damaged, moved, ..JobStep::default() }).await
    }

    async fn move_calls(&mut self) -> Result<(), MoveError> {
        self.skip_moved_calls().await?;
        let mut page = self.from.waiting(WaitingFilter::default(), self.after, self.page).await?;
        let parked = page.calls.iter().enumerate().filter(|(_, call)| !call.attempts.is_empty());
        let too_many = parked.map(|(at, _)| at).nth(SINGLE_RECORDS);
        if let Some(length) = too_many {
            page.calls.truncate(length);
            page.next = page.calls.last().map(|call| call.id);
        }
        let count = i64::try_from(page.calls.len()).unwrap_or(i64::MAX);
        let after = page.calls.last().map(|call| call.id).max(page.next);
        let is_last = page.next.is_none();
        let (damaged, calls): (Vec<_>, Vec<_>) =
            page.calls.into_iter().partition(|call| call.waiting_for == WaitingFor::Damaged);
        let moved = calls.into_iter().map(|call| MovedRecord::Call {
            job: call.job,
            attempts: call.attempts,
            next_attempt_at: call.next_attempt_at,
        });
        let (cursor, moved) = (self.cursor + count, moved.collect());
        let failed = damaged.len() as u64;
        self.advance(JobStep { cursor, failed, is_last, moved, ..JobStep::default() }).await?;
        (self.after, self.is_finished) = (after.or(self.after), is_last);
        Ok(())
    }

    /// Finds the call at which an interrupted run stopped.
    async fn skip_moved_calls(&mut self) -> Result<(), MoveError> {
        let mut moved = usize::try_from(self.cursor - self.up_to).unwrap_or(0);
        while self.after.is_none() && moved > 0 {
            let mut after = None;
            while moved > 0 {
                let page = self.from.waiting(WaitingFilter::default(), after, moved.min(self.page)).await?;
                moved -= page.calls.len();
                after = page.calls.last().map(|call| call.id).or(page.next);
                if page.next.is_none() {
                    break;
                }
            }
            self.after = after;
        }
        Ok(())
    }

    async fn advance(&mut self, step: JobStep) -> Result<(), MoveError> {
        let (cursor, moved, damaged) = (step.cursor, step.moved.len() as u64, step.failed);
        self.store(step).await?;
        self.cursor = cursor;
        self.moved += moved;
        self.damaged += damaged;
        Ok(())
    }

    async fn store(&self, step: JobStep) -> Result<(), MoveError> {
        let cursor = step.cursor.max(self.cursor);
        let is_stored =
            self.to.advance_job(JobStep { job: self.job, from: self.cursor, cursor, ..step }).await?;
        is_stored.map(drop).ok_or(MoveError::Stopped)
    }
}

impl Outbox {
    /// Returns the URL from which this outbox is being filled, if that is not finished.
    pub async fn unfinished_move(&self) -> Result<Option<String>, ReadError> {
        let open = self.jobs(MAX_JOBS).await?.into_iter().find(|job| job.kind == MOVE && job.state.is_open());
        Ok(open.map(|job| job.order))
    }
}
