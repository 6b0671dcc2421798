//! Reads every Vitally account once, and separates the accounts that a sync can handle from those that it must skip.
//!
//! The list is sorted by creation, so that writes during the sweep do not reorder it. If two accounts share the key by which
//! the other system knows them, both are skipped: the relay cannot know which of them is meant.

use std::collections::{HashMap, HashSet};

use tokio_util::sync::CancellationToken;

use super::report::{AccountName, Problem, Report, Reports};
use crate::accounts::vitally::{Account, Client, Listing, Pages, VitallyError};

/// One account to handle.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) named: AccountName,
    /// The id or value by which the other system knows the account.
    pub(super) key: String,
    /// The part of the account that the sync needs later.
    pub(super) kept: T,
}

/// The accounts that a sweep read.
#[derive(Debug)]
pub(super) struct SweepResult<T> {
    pub(super) entries: Vec<Entry<T>>,
    pub(super) skipped: Vec<Problem>,
}

impl<T> SweepResult<T> {
    pub(super) const fn accounts(&self) -> usize {
        self.entries.len() + self.skipped.len()
    }
}

/// Why not all accounts were read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SweepError {
    #[error(transparent)]
    Vitally(#[from] VitallyError),
    #[error("the sync was stopped before all accounts were read from Vitally")]
    Stopped,
}

/// Reads all accounts, also the churned ones. `key` returns the value by which the other system knows an account, or why there
/// is none. `keep` returns the part of an account that stays in memory.
pub(super) async fn sweep<T>(
    client: &Client,
    reports: &Reports,
    stop: &CancellationToken,
    key: impl Fn(&Account) -> Result<String, String>,
    mut keep: impl FnMut(Account) -> T,
) -> Result<SweepResult<T>, SweepError> {
    let mut pages = Pages::new(client, Listing::sweep());
    let mut swept = SweepResult { entries: Vec::new(), skipped: Vec::new() };
    let mut ids = HashSet::new();
    loop {
        let page = stop.run_until_cancelled(pages.next()).await.ok_or(SweepError::Stopped)??;
        let Some(page) = page else { break };
        let unreadable =
            || Problem { named: AccountName::default(), reason: "it is not an account object".to_owned() };
        swept.skipped.extend(std::iter::repeat_with(unreadable).take(page.unreadable));
        for account in page.accounts.into_iter().map(|listed| listed.account) {
            let named = name(&account);
            match (&account.id, key(&account)) {
                (None, _) => swept.skipped.push(Problem { named, reason: "it has no id".to_owned() }),
                // An account was created during the sweep and moved this one to the next page: it is read twice.
                (Some(id), _) if !ids.insert(id.clone()) => {}
                (_, Err(reason)) => swept.skipped.push(Problem { named, reason }),
                (_, Ok(key)) => swept.entries.push(Entry { named, key, kept: keep(account) }),
            }
        }
        reports.send(Report::Reading { accounts: swept.accounts() }).await;
    }
    skip_ambiguous(&mut swept);
    Ok(swept)
}

pub(super) fn name(account: &Account) -> AccountName {
    AccountName {
        account: account.id.clone(),
        external_id: account.external_id.clone(),
        name: account.name.clone(),
    }
}

fn skip_ambiguous<T>(swept: &mut SweepResult<T>) {
    let mut count: HashMap<&str, usize> = HashMap::new();
    for entry in &swept.entries {
        *count.entry(&entry.key).or_default() += 1;
    }
    let twice: HashSet<String> =
        count.into_iter().filter(|(_, count)| *count > 1).map(|(key, _)| key.to_owned()).collect();
    let (ambiguous, entries) = std::mem::take(&mut swept.entries)
        .into_iter()
        .partition::<Vec<_>, _>(|entry| twice.contains(&entry.key));
    swept.entries = entries;
    swept.skipped.extend(ambiguous.into_iter().map(|entry| {
        let reason = format!("another Vitally account has {:?} too: correct it there", entry.key);
        Problem { named: entry.named, reason }
    }));
}
