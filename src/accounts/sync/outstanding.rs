//! The accounts whose calls a sync has given to the outbox, and what became of each.
//!
//! The fate of a call is read from the outbox itself: what was delivered is what it says was said last, what failed is
//! among its dead letters. So it is known for calls of an earlier run as well.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::SOURCE;
use super::report::{AccountName, Problem, Summary};
use crate::accoil::Fingerprint;
use crate::deliver::{State, Status};
use crate::outbox::{Outbox, ReadError};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(100);
/// Dead letters read at a time.
const PAGE: usize = 256;
/// Without any progress for so long it is looked whether the calls are there at all.
const DOUBT: Duration = Duration::from_secs(30);
/// Without any progress for so long no more is waited for.
const PATIENCE: Duration = Duration::from_secs(600);

/// Why no more is waited for. What waits stays in the outbox.
#[derive(Debug, thiserror::Error)]
pub(super) enum WaitError {
    #[error(
        "Accoil refuses the key of destination {destination}: what waits in the outbox is delivered when the key is \
         right; mend its api_key"
    )]
    Credentials { destination: String },
    #[error(
        "nothing was delivered for {} minutes: what waits stays in the outbox and is tried again by `serve`, or by the \
         next run", PATIENCE.as_secs() / 60
    )]
    NoProgress,
    #[error("the outbox could not store to disk and is closed until a restart; see the log")]
    Failed,
    #[error("the outbox could not be read: {0}")]
    Outbox(#[from] ReadError),
}

/// An account that has calls in the outbox.
#[derive(Debug, Default)]
struct Account {
    named: AccountName,
    /// Given by this run, not by one before.
    is_new: bool,
    /// It was met in this run's sweep.
    is_met: bool,
    open: usize,
    failure: Option<String>,
}

#[derive(Debug)]
pub(super) struct Outstanding<'a> {
    outbox: &'a Outbox,
    statuses: &'a [watch::Receiver<Status>],
    /// By the fingerprint's key; the content and the group id whose call it is.
    calls: HashMap<u64, (u64, String)>,
    /// By group id.
    accounts: HashMap<String, Account>,
    /// The dead letters that there are, by the key of what they say.
    dead: HashMap<u64, Vec<i64>>,
    /// Dead letters up to this id have been looked at.
    last_dead: i64,
    progressed_at: Instant,
    doubted_at: Instant,
}

impl<'a> Outstanding<'a> {
    pub(super) async fn new(
        outbox: &'a Outbox,
        statuses: &'a [watch::Receiver<Status>],
    ) -> Result<Self, ReadError> {
        let newest = outbox.dead_letters(1).await?;
        let last_dead = newest.first().map_or(0, |letter| letter.id);
        let mut dead: HashMap<u64, Vec<i64>> = HashMap::new();
        for (id, one) in outbox.dead_of(SOURCE).await? {
            dead.entry(one.key).or_default().push(id);
        }
        let (calls, accounts, now) = (HashMap::new(), HashMap::new(), Instant::now());
        Ok(Self { outbox, statuses, calls, accounts, dead, last_dead, progressed_at: now, doubted_at: now })
    }

    /// Calls that are neither delivered nor failed.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The content that waits for this key.
    pub(super) fn content(&self, key: u64) -> Option<u64> {
        self.calls.get(&key).map(|(content, _)| *content)
    }

    /// The dead letters in whose place this call comes; they are not given twice.
    pub(super) fn take_dead_letters(&mut self, call: &Fingerprint) -> Vec<i64> {
        self.dead.remove(&call.key).unwrap_or_default()
    }

    /// A call that an earlier run has given to the outbox.
    pub(super) fn expect_old(&mut self, call: Fingerprint, group: &str) {
        let named = AccountName { external_id: Some(group.to_owned()), ..AccountName::default() };
        self.expect(call, group, named, false);
    }

    /// A call that was just given to the outbox.
    pub(super) fn expect_new(&mut self, call: Fingerprint, group: &str, named: AccountName) {
        self.expect(call, group, named, true);
    }

    fn expect(&mut self, call: Fingerprint, group: &str, named: AccountName, is_new: bool) {
        let account = self.accounts.entry(group.to_owned()).or_default();
        if is_new {
            // What became of an earlier call is overtaken.
            (account.is_new, account.is_met, account.failure) = (true, true, None);
        }
        account.named = named;
        // A later call of the same key stands for both.
        if self.calls.insert(call.key, (call.content, group.to_owned())).is_none() {
            account.open += 1;
        }
    }

    /// The account was met, and what is to be said of it is in the outbox already.
    pub(super) fn meet(&mut self, group: &str, named: AccountName) {
        if let Some(account) = self.accounts.get_mut(group) {
            account.is_met = true;
            account.named = named;
        }
    }

    /// Waits a moment and takes in what became of the calls meanwhile.
    pub(super) async fn look(&mut self) -> Result<(), WaitError> {
        tokio::time::sleep(LOOK).await;
        let before = self.len();
        self.find_failed().await?;
        self.find_delivered().await?;
        if self.len() < before {
            self.progressed_at = Instant::now();
        }
        if self.progressed_at.max(self.doubted_at).elapsed() > DOUBT {
            self.doubted_at = Instant::now();
            self.find_lost().await?;
        }
        if self.calls.is_empty() { Ok(()) } else { self.reason_to_end().map_or(Ok(()), Err) }
    }

    async fn find_failed(&mut self) -> Result<(), ReadError> {
        loop {
            let letters = self.outbox.dead_letters_after(self.last_dead, PAGE).await?;
            let Some(last) = letters.last() else { return Ok(()) };
            self.last_dead = last.id;
            for letter in letters.iter().filter(|letter| letter.source == SOURCE) {
                let why = letter.attempts.last().map_or("it became a dead letter", |last| &last.reason);
                for one in &letter.fingerprints {
                    self.dead.entry(one.key).or_default().push(letter.id);
                    if self.content(one.key) == Some(one.content) {
                        self.close(one.key, Some(format!("{}: {why}", letter.destination)));
                    }
                }
            }
        }
    }

    async fn find_delivered(&mut self) -> Result<(), ReadError> {
        let said = self.outbox.said_of(self.calls.keys().copied().collect()).await?;
        for (one, _) in said {
            if self.content(one.key) == Some(one.content) {
                self.close(one.key, None);
            }
        }
        Ok(())
    }

    /// What neither waits nor was delivered is not waited for: it was purged, or overtaken by a replay.
    async fn find_lost(&mut self) -> Result<(), ReadError> {
        let waiting = self.outbox.waiting_of(SOURCE).await?;
        let waiting: HashSet<u64> =
            waiting.iter().flat_map(|job| &job.fingerprints).map(|one| one.key).collect();
        self.find_failed().await?;
        self.find_delivered().await?;
        let lost: Vec<u64> = self.calls.keys().copied().filter(|key| !waiting.contains(key)).collect();
        for key in lost {
            self.close(
                key,
                Some("its call is gone from the outbox: purged, or overtaken by a replay".to_owned()),
            );
        }
        Ok(())
    }

    fn close(&mut self, key: u64, failure: Option<String>) {
        let Some((_, group)) = self.calls.remove(&key) else { return };
        if let Some(account) = self.accounts.get_mut(&group) {
            account.open = account.open.saturating_sub(1);
            account.failure = account.failure.take().or(failure);
        }
    }

    fn reason_to_end(&self) -> Option<WaitError> {
        if *self.outbox.failed().borrow() {
            return Some(WaitError::Failed);
        }
        let refusing = self.statuses.iter().find_map(|status| {
            let status = status.borrow();
            (status.state == State::CredentialsRefused).then(|| status.name.to_string())
        });
        match refusing {
            Some(destination) => Some(WaitError::Credentials { destination }),
            None => (self.progressed_at.elapsed() > PATIENCE).then_some(WaitError::NoProgress),
        }
    }

    /// Counts the accounts that were met, each once, by what became of it.
    pub(super) fn count(self, summary: &mut Summary) {
        for account in self.accounts.into_values().filter(|account| account.is_met) {
            match account {
                Account { failure: Some(reason), named, .. } => {
                    summary.failed.push(Problem { named, reason });
                }
                Account { open: 1.., .. } => summary.waiting += 1,
                Account { is_new: true, .. } => summary.written += 1,
                Account { .. } => summary.resumed += 1,
            }
        }
    }
}
