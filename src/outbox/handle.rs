//! The public handle of the outbox, which every stage clones. The contract is in the module above.
//!
//! To add a backend: a variant here, and in each operation here, in `lane` and in `archive` its arm. Nothing else in
//! the relay knows which backend it has.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::chunk::Job as Call;
use super::jobs::{Job, JobChange, JobStep, NewJob};
use super::priority::Priority;
use super::{
    AcceptError, Archive, ChangeError, DeadLetter, Filter, Group, JobState, Kind, OpenError, Options,
    PageFrom, Position, ReadError, Receipt, Replayed, StoredReject, Submission, WaitingFilter, WaitingPage,
    nats, sqlite,
};
use crate::facts::Facts;

/// A cheap clone. The outbox closes when the last clone is dropped.
#[derive(Debug, Clone)]
pub enum Outbox {
    Sqlite(sqlite::Outbox),
    Nats(nats::Outbox),
}

impl Outbox {
    /// Opens or creates the outbox. Blocks on the disk. What the last run left can be read.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        Self::open_with(options, Facts::off())
    }

    /// Like [`Self::open`]; emits what is received as a fact after its commit.
    pub fn open_with(options: &Options, facts: Facts) -> Result<Self, OpenError> {
        sqlite::Outbox::open(options, facts).map(Self::Sqlite)
    }

    /// Connects to a cluster, and creates the outbox there if it is missing.
    /// `broken` is cancelled if one of its tasks panics.
    pub async fn open_cluster(
        options: &nats::Options,
        facts: Facts,
        broken: &CancellationToken,
    ) -> Result<Self, OpenError> {
        Ok(nats::Outbox::open(options, facts, broken).await.map(Self::Nats)?)
    }

    /// Stores everything that a post brought. Returns after it is on disk, or after nothing of it was stored.
    pub async fn accept(&self, submission: Submission) -> Result<Receipt, AcceptError> {
        self.store(submission, Priority::Live, None).await
    }

    /// Accepts old events: their calls wait until no live call is ready. The caller must wait for
    /// [`Background::room`](super::Background::room) before.
    pub async fn accept_in_background(&self, submission: Submission) -> Result<Receipt, AcceptError> {
        self.store(submission, Priority::Background, None).await
    }

    /// Stores the result of replaying a reject, and removes the reject in the same commit.
    pub async fn replay_reject(&self, id: i64, submission: Submission) -> Result<Receipt, ChangeError> {
        Ok(self.store(submission, Priority::Background, Some(id)).await?)
    }

    async fn store(
        &self,
        submission: Submission,
        priority: Priority,
        replayed: Option<i64>,
    ) -> Result<Receipt, AcceptError> {
        match self {
            Self::Sqlite(outbox) => outbox.accept(submission, priority, replayed).await,
            Self::Nats(outbox) => outbox.accept(submission, priority, replayed).await,
        }
    }

    /// Stores the requests of these dead letters again, in this order, after all waiting calls of their users. Damaged
    /// dead letters stay.
    pub async fn replay_dead_letters(&self, dead_letters: Vec<i64>) -> Result<Replayed, ChangeError> {
        match self {
            Self::Sqlite(outbox) => outbox.replay_dead_letters(dead_letters).await,
            Self::Nats(outbox) => outbox.replay_dead_letters(dead_letters).await,
        }
    }

    /// Removes the dead letters and rejects with these numbers permanently; returns how many existed.
    pub async fn purge(&self, ids: Vec<i64>) -> Result<usize, ChangeError> {
        match self {
            Self::Sqlite(outbox) => outbox.purge(ids).await,
            Self::Nats(outbox) => outbox.purge(ids).await,
        }
    }

    /// Stores a job, and returns its number.
    pub async fn create_job(&self, job: NewJob) -> Result<i64, ChangeError> {
        self.change_job(JobChange::Create { job, at: Utc::now() }).await
    }

    /// Changes a job's state if it has one of these; returns whether it had.
    pub async fn set_job_state(
        &self,
        id: i64,
        from: &'static [JobState],
        to: JobState,
        note: &str,
    ) -> Result<bool, ChangeError> {
        let change = JobChange::SetState { id, from, to, note: note.to_owned() };
        Ok(self.change_job(change).await? > 0)
    }

    async fn change_job(&self, change: JobChange) -> Result<i64, ChangeError> {
        match self {
            Self::Sqlite(outbox) => outbox.change_job(change).await,
            Self::Nats(outbox) => outbox.change_job(change).await,
        }
    }

    /// Stores a step of a job, and returns the number of duplicates in it. `None` if the job is not running; nothing was changed then.
    pub async fn advance_job(&self, step: JobStep) -> Result<Option<usize>, ChangeError> {
        match self {
            Self::Sqlite(outbox) => outbox.advance_job(step).await,
            Self::Nats(outbox) => outbox.advance_job(step).await,
        }
    }

    /// Returns the newest jobs first.
    pub async fn jobs(&self, most: usize) -> Result<Vec<Job>, ReadError> {
        match self {
            Self::Sqlite(outbox) => outbox.jobs(most).await,
            Self::Nats(outbox) => outbox.jobs(most).await,
        }
    }

    pub async fn job(&self, id: i64) -> Result<Option<Job>, ReadError> {
        match self {
            Self::Sqlite(outbox) => outbox.job(id).await,
            Self::Nats(outbox) => outbox.job(id).await,
        }
    }

    /// Stores a number under this name, or removes it. Returns after it is on disk. A restart does not change it.
    pub async fn keep_value(&self, name: String, value: Option<i64>) -> Result<(), ChangeError> {
        match self {
            Self::Sqlite(outbox) => outbox.keep_value(name, value).await,
            Self::Nats(outbox) => outbox.keep_value(name, value).await,
        }
    }

    /// Returns the names of kept values that begin with this text, with their values.
    pub async fn kept_values(&self, begin: &'static str) -> Result<Vec<(String, i64)>, ReadError> {
        match self {
            Self::Sqlite(outbox) => outbox.kept_values(begin).await,
            Self::Nats(outbox) => outbox.kept_values(begin).await,
        }
    }

    /// Removes a batch of expired rows; returns whether more may be left. The owner calls it once a minute, so that
    /// an idle relay keeps nothing longer than promised.
    pub async fn keep_house(&self) -> Result<bool, ChangeError> {
        match self {
            Self::Sqlite(outbox) => outbox.keep_house().await,
            Self::Nats(outbox) => outbox.keep_house().await,
        }
    }

    /// Makes the next attempts of these users' calls due now; each entry is a destination and a user.
    pub(super) async fn retry_users(&self, users: Vec<(String, String)>) -> Result<usize, ChangeError> {
        match self {
            Self::Sqlite(outbox) => outbox.retry_users(users).await,
            Self::Nats(outbox) => outbox.retry_users(users).await,
        }
    }

    /// Moves these calls to another destination, or removes them if there is none. Returns how many still waited.
    pub(super) async fn move_calls(
        &self,
        calls: Vec<Call>,
        to: Option<String>,
    ) -> Result<usize, ChangeError> {
        match self {
            Self::Sqlite(outbox) => outbox.move_calls(calls, to).await,
            Self::Nats(outbox) => outbox.move_calls(calls, to).await,
        }
    }

    /// Waits until no other process works on this outbox; false if one still does.
    pub async fn is_alone(&self, within: std::time::Duration) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Nats(outbox) => outbox.owns_all_lanes(within).await,
        }
    }

    /// From now on no relay works on this outbox: it is being moved. A file is renamed instead.
    pub async fn mark_moved(&self, to: &str) -> Result<(), ChangeError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Nats(outbox) => outbox.mark_moved(to.to_owned()).await,
        }
    }

    /// Held while calls are moved: two moves at the same time would move a call twice.
    pub(super) fn moving(&self) -> &tokio::sync::Mutex<()> {
        match self {
            Self::Sqlite(outbox) => outbox.moving(),
            Self::Nats(outbox) => outbox.moving(),
        }
    }

    /// Returns at most `most` of the waiting calls after `after`, in order.
    pub async fn waiting(
        &self,
        filter: WaitingFilter,
        after: Option<Position>,
        most: usize,
    ) -> Result<WaitingPage, ReadError> {
        match self {
            Self::Sqlite(outbox) => outbox.waiting(filter, after, most).await,
            Self::Nats(outbox) => outbox.waiting(filter, after, most).await,
        }
    }

    /// Returns the number of waiting calls by destination, for all destinations except these: the others are no
    /// longer configured. Reads the whole backlog, one chunk at a time.
    pub async fn waiting_for_others(&self, known: &[&str]) -> Result<BTreeMap<String, u64>, ReadError> {
        let mut others = match self {
            Self::Sqlite(outbox) => outbox.waiting_by_destination().await?,
            Self::Nats(outbox) => outbox.waiting_by_destination().await?,
        };
        others.retain(|name, _| !known.contains(&name.as_str()));
        Ok(others)
    }

    /// Returns when the oldest event with a waiting call was received; `None` if nothing waits or the event is of an
    /// earlier version. Costs two indexed reads.
    pub async fn oldest_waiting(&self) -> Result<Option<DateTime<Utc>>, ReadError> {
        match self {
            Self::Sqlite(outbox) => outbox.oldest_waiting().await,
            Self::Nats(outbox) => outbox.oldest_waiting().await,
        }
    }

    /// Returns a page of the dead letters that match.
    pub async fn dead_letters(
        &self,
        filter: &Filter,
        from: PageFrom,
        most: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        match self {
            Self::Sqlite(outbox) => outbox.dead_letters(filter, from, most).await,
            Self::Nats(outbox) => outbox.dead_letters(filter, from, most).await,
        }
    }

    /// Returns a page of the rejects that match.
    pub async fn rejects(
        &self,
        filter: &Filter,
        from: PageFrom,
        most: usize,
    ) -> Result<Vec<StoredReject>, ReadError> {
        match self {
            Self::Sqlite(outbox) => outbox.rejects(filter, from, most).await,
            Self::Nats(outbox) => outbox.rejects(filter, from, most).await,
        }
    }

    /// Returns one reject, if it still exists.
    pub async fn reject(&self, id: i64) -> Result<Option<StoredReject>, ReadError> {
        let filter = Filter { ids: vec![id], ..Filter::default() };
        Ok(self.rejects(&filter, PageFrom::After(0), 1).await?.into_iter().next())
    }

    /// Returns the numbers of one kind above `after`, in order.
    pub async fn numbers(
        &self,
        kind: Kind,
        filter: &Filter,
        after: i64,
        most: usize,
    ) -> Result<Vec<i64>, ReadError> {
        match self {
            Self::Sqlite(outbox) => outbox.numbers(kind, filter, after, most).await,
            Self::Nats(outbox) => outbox.numbers(kind, filter, after, most).await,
        }
    }

    /// Returns the highest number ever given to a dead letter or a reject.
    pub async fn newest_number(&self) -> Result<i64, ReadError> {
        match self {
            Self::Sqlite(outbox) => outbox.newest_number().await,
            Self::Nats(outbox) => outbox.newest_number().await,
        }
    }

    /// Returns the groups of all dead letters and rejects, the largest first.
    pub async fn groups(&self) -> Result<Vec<Group>, ReadError> {
        match self {
            Self::Sqlite(outbox) => outbox.groups().await,
            Self::Nats(outbox) => outbox.groups().await,
        }
    }

    /// Opens a reader of its own for queries that may take long. Blocks on the disk, like each of its methods.
    pub fn archive(&self) -> Result<Archive, OpenError> {
        match self {
            Self::Sqlite(outbox) => Archive::open(outbox.path()),
            Self::Nats(outbox) => outbox.archive(),
        }
    }

    /// Returns when all earlier settlements are stored.
    pub async fn flush(&self) -> Result<(), ReadError> {
        match self {
            Self::Sqlite(outbox) => outbox.flush().await,
            Self::Nats(outbox) => outbox.flush().await,
        }
    }

    /// Commits what is waiting and closes. Later calls of accept fail.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(outbox) => outbox.close().await,
            Self::Nats(outbox) => outbox.close().await,
        }
    }
}
