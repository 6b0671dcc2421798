//! Calls that a sync has given to the outbox and that are neither delivered nor failed yet.
//!
//! Their fate is read from the outbox itself: what was delivered is what it says was said last, what failed is among
//! its dead letters. So it is known for calls of an earlier run as well.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;

use super::SOURCE;
use super::report::Named;
use crate::accoil::Fingerprint;
use crate::deliver::{State, Status};
use crate::outbox::{Outbox, ReadError};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(100);
/// Dead letters read at a time.
const PAGE: usize = 256;

/// Whose call it is, and whether this run gave it to the outbox or one before.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) named: Named,
    pub(super) is_new: bool,
}

/// What became of one call.
#[derive(Debug)]
pub(super) struct Fate {
    pub(super) caller: Caller,
    /// Why it failed; none: it was delivered.
    pub(super) failure: Option<String>,
}

/// Why no more is waited for.
#[derive(Debug, thiserror::Error)]
pub(super) enum WaitError {
    #[error(
        "Accoil refuses the key of destination {destination}: {waiting} calls wait in the outbox and are made when the \
         key is right; mend api_key of [[destinations]]"
    )]
    Credentials { destination: String, waiting: usize },
    #[error(transparent)]
    Outbox(#[from] ReadError),
}

#[derive(Debug)]
pub(super) struct Outstanding<'a> {
    outbox: &'a Outbox,
    statuses: &'a [watch::Receiver<Status>],
    /// By the fingerprint's key; the content and whose call it is. A later one of the same key stands for both.
    calls: HashMap<u64, (u64, Caller)>,
    /// Dead letters up to this id have been looked at.
    last_dead: i64,
}

impl<'a> Outstanding<'a> {
    /// Looks at dead letters from now on only.
    pub(super) async fn new(
        outbox: &'a Outbox,
        statuses: &'a [watch::Receiver<Status>],
    ) -> Result<Self, ReadError> {
        let newest = outbox.dead_letters(1).await?;
        let last_dead = newest.first().map_or(0, |letter| letter.id);
        Ok(Self { outbox, statuses, calls: HashMap::new(), last_dead })
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The content that waits for this key.
    pub(super) fn content(&self, key: u64) -> Option<u64> {
        self.calls.get(&key).map(|(content, _)| *content)
    }

    pub(super) fn expect(&mut self, call: Fingerprint, caller: Caller) {
        self.calls.insert(call.key, (call.content, caller));
    }

    /// Waits a moment; what is no longer outstanding.
    pub(super) async fn look(&mut self) -> Result<Vec<Fate>, WaitError> {
        tokio::time::sleep(LOOK).await;
        let mut fates = self.failed().await?;
        let said = self.outbox.said_of(self.calls.keys().copied().collect()).await?;
        for (one, _) in said {
            if self.content(one.key) == Some(one.content)
                && let Some((_, caller)) = self.calls.remove(&one.key)
            {
                fates.push(Fate { caller, failure: None });
            }
        }
        let refusing = self.statuses.iter().find_map(|status| {
            let status = status.borrow();
            (status.state == State::CredentialsRefused).then(|| status.name.to_string())
        });
        match refusing {
            Some(destination) if !self.calls.is_empty() => {
                Err(WaitError::Credentials { destination, waiting: self.calls.len() })
            }
            _ => Ok(fates),
        }
    }

    async fn failed(&mut self) -> Result<Vec<Fate>, ReadError> {
        let mut fates = Vec::new();
        loop {
            let letters = self.outbox.dead_letters_after(self.last_dead, PAGE).await?;
            let Some(last) = letters.last() else { return Ok(fates) };
            self.last_dead = last.id;
            for letter in letters.iter().filter(|letter| letter.source == SOURCE) {
                let key = letter.fingerprints.iter().find(|one| self.content(one.key) == Some(one.content));
                let call = key.and_then(|one| self.calls.remove(&one.key));
                let why = letter.attempts.last().map_or("it became a dead letter", |last| &last.reason);
                fates.extend(call.map(|(_, caller)| Fate { caller, failure: Some(why.to_owned()) }));
            }
        }
    }
}
