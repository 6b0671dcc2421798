//! The operations that change the outbox: each is a command to the writer, answered after the commit.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::command::{Command, Reply};
use super::handle::{Outbox, SUBMISSION_MEMORY_KIB};
use crate::facts::Received;
use crate::outbox::chunk::Job;
use crate::outbox::jobs::{JobChange, JobStep};
use crate::outbox::priority::Priority;
use crate::outbox::{AcceptError, ChangeError, Parked, ReadError, Receipt, Replayed, Settlement, Submission};

impl Outbox {
    pub async fn accept(
        &self,
        submission: Submission,
        priority: Priority,
        replayed: Option<i64>,
    ) -> Result<Receipt, AcceptError> {
        if submission.accepted.is_empty() && submission.rejects.is_empty() && replayed.is_none() {
            // Nothing to commit.
            self.facts.received(&Received::new(&submission));
            return Ok(Receipt::default());
        }
        let room = self.room_for(submission.size())?;
        self.ask(|reply| Command::Accept { submission, replayed, priority, reply, room }).await
    }

    pub async fn advance_job(&self, step: JobStep) -> Result<Option<usize>, ChangeError> {
        let room = self.room_for(step.size())?;
        Ok(self.ask(|reply| Command::Advance { step, reply, room }).await?)
    }

    pub async fn change_job(&self, change: JobChange) -> Result<i64, ChangeError> {
        Ok(self.ask(|reply| Command::ChangeJob { change, reply }).await?)
    }

    pub async fn replay_dead_letters(&self, dead_letters: Vec<i64>) -> Result<Replayed, ChangeError> {
        Ok(self.ask(|reply| Command::Replay { dead_letters, reply }).await?)
    }

    pub async fn purge(&self, ids: Vec<i64>) -> Result<usize, ChangeError> {
        Ok(self.ask(|reply| Command::Purge { ids, reply }).await?)
    }

    pub async fn retry_users(&self, users: Vec<(String, String)>) -> Result<usize, ChangeError> {
        Ok(self.ask(|reply| Command::Retry { users, reply }).await?)
    }

    pub async fn move_calls(&self, jobs: Vec<Job>, to: Option<String>) -> Result<usize, ChangeError> {
        Ok(self.ask(|reply| Command::Move { jobs, to, reply }).await?)
    }

    pub async fn keep_value(&self, name: String, value: Option<i64>) -> Result<(), ChangeError> {
        Ok(self.ask(|reply| Command::KeepValue { name, value, reply }).await?)
    }

    pub async fn keep_house(&self) -> Result<bool, ChangeError> {
        Ok(self.ask(|reply| Command::KeepHouse { reply }).await?)
    }

    pub fn settle(&self, settlements: Vec<Settlement>) {
        // If the writer is closed, the calls are made once more after the next start.
        let _ = self.commands.send(Command::Settle(settlements));
    }

    /// Answered by the writer with the commit of its group, so that it sees all earlier settlements.
    pub async fn parked(&self, destination: &str, users: Vec<String>) -> Result<Vec<Parked>, ReadError> {
        let (reply, parked) = oneshot::channel();
        let destination = destination.to_owned();
        self.commands.send(Command::Parked { destination, users, reply }).map_err(|_| ReadError::Closed)?;
        parked.await.map_err(|_| ReadError::Closed)
    }

    pub async fn flush(&self) -> Result<(), ReadError> {
        self.parked("", Vec::new()).await.map(drop)
    }

    /// Takes memory until the commit, if there is room for this many bytes.
    fn room_for(&self, size: usize) -> Result<OwnedSemaphorePermit, AcceptError> {
        self.shown.space.check(size as u64).map_err(|_| AcceptError::Full)?;
        let kib = u32::try_from(size.div_ceil(1024).min(SUBMISSION_MEMORY_KIB)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| AcceptError::Busy)
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, AcceptError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| AcceptError::Failed)?;
        answer.await.unwrap_or(Err(AcceptError::Failed))
    }
}
