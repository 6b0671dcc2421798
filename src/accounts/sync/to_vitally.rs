//! `sync accoil-to-vitally`: each Vitally account is looked up at Accoil, and its traits that differ are written.
//!
//! Accounts are independent of each other and a few are seen to at once. Never deletes anything, never creates an
//! account, and writes nothing to an account of which it is not sure.

use std::collections::HashSet;
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt as _;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::matching::Matching;
use super::report::{AccountName, Change, Direction, Problem, Report, Reports, Summary};
use super::sweep::{Entry, SweepError, sweep};
use super::traits::{self, Difference};
use super::written::{Written, WrittenError};
use crate::accounts::accoil::{self, Found, GetError, Lookup, Query};
use crate::accounts::vitally::{Changes, Client, VitallyError, account_path};

const DIRECTION: Direction = Direction::AccoilToVitally;
/// Accounts seen to at once (`facts/vitally.md` 11).
const CONCURRENCY: usize = 4;
/// For what has been begun to finish after a stop.
const GRACE: Duration = Duration::from_secs(5);
/// Failures in a row that mean that one of the two systems is in trouble, not the account.
const TROUBLE: usize = 20;

/// What the sync needs.
pub(super) struct ToVitally<'a> {
    pub(super) vitally: &'a Client,
    pub(super) accoil: &'a accoil::Client,
    pub(super) matching: &'a Matching,
    pub(super) written: &'a Written,
    pub(super) reports: &'a Reports,
    pub(super) stop: &'a CancellationToken,
    pub(super) dry_run: bool,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum ToVitallyError {
    #[error(transparent)]
    Sweep(#[from] SweepError),
    #[error(transparent)]
    Vitally(#[from] VitallyError),
    #[error(transparent)]
    Accoil(#[from] GetError),
    #[error(transparent)]
    Written(#[from] WrittenError),
    #[error("given up after {TROUBLE} failures in a row; the next run goes on where this one ended")]
    Trouble,
    #[error("it was told to stop; the next run goes on where this one ended")]
    Stopped,
}

/// What became of one account.
enum Outcome {
    Resumed,
    Unknown,
    Skipped(String),
    Unchanged(Vec<String>),
    Written(Vec<String>),
    /// `is_trouble`: it is one of the two systems, not this account.
    Failed {
        why: String,
        is_trouble: bool,
    },
}

impl ToVitally<'_> {
    pub(super) async fn run(&self, summary: &mut Summary) -> Result<(), ToVitallyError> {
        let seen = if self.dry_run {
            HashSet::new()
        } else {
            self.written.begin(DIRECTION, self.matching.settings(), Utc::now()).await?
        };
        let swept = sweep(
            self.vitally,
            self.reports,
            self.stop,
            |account| self.matching.value_of(account),
            |account| self.matching.with_prefix(account.traits),
        )
        .await?;
        summary.accounts = swept.accounts();
        summary.skipped = swept.skipped;
        let of = swept.entries.len();
        // Once it is told to stop no other account is begun; those begun may finish, but not for long.
        let mut outcomes = futures_util::stream::iter(swept.entries)
            .take_while(|_| std::future::ready(!self.stop.is_cancelled()))
            .map(|entry| self.see_to(entry, &seen))
            .buffer_unordered(CONCURRENCY);
        let mut done = 0;
        let mut troubles = 0;
        loop {
            let next = tokio::select! {
                next = outcomes.next() => next,
                () = self.stopped_long_ago() => return Err(ToVitallyError::Stopped),
            };
            let Some((named, outcome)) = next else { break };
            done += 1;
            let is_trouble = matches!(outcome, Ok(Outcome::Failed { is_trouble: true, .. }));
            troubles = if is_trouble { troubles + 1 } else { 0 };
            count(summary, named, outcome?);
            self.reports.tell(Report::Progress { done, of }).await;
            if troubles == TROUBLE {
                return Err(ToVitallyError::Trouble);
            }
        }
        if done < of { Err(ToVitallyError::Stopped) } else { Ok(()) }
    }

    async fn stopped_long_ago(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    }

    async fn see_to(
        &self,
        entry: Entry<Map<String, Value>>,
        seen: &HashSet<String>,
    ) -> (AccountName, Result<Outcome, ToVitallyError>) {
        let id = entry.named.account.clone().unwrap_or_default();
        if seen.contains(&id) {
            return (entry.named, Ok(Outcome::Resumed));
        }
        let outcome = self.compare_and_write(&id, &entry).await;
        (entry.named, outcome)
    }

    async fn compare_and_write(
        &self,
        id: &str,
        entry: &Entry<Map<String, Value>>,
    ) -> Result<Outcome, ToVitallyError> {
        let account = match self.look_up(&entry.key).await? {
            LookUp::Account(account) => account,
            // Not noted as seen to: the run that ends lists every one of them.
            LookUp::Unknown => return Ok(Outcome::Unknown),
            LookUp::Skipped(why) => return Ok(Outcome::Skipped(why)),
            LookUp::Failed(failure) => return Ok(failure),
        };
        let wanted = traits::wanted(&account, &self.matching.prefix, self.matching.insights);
        let ours = self.written.ours(id).await?;
        let difference = traits::difference(&entry.kept, wanted, |name, value| ours.holds(name, value));
        if difference.changed.is_empty() {
            self.seen_to(id, ours.found(&entry.kept)).await?;
            return Ok(Outcome::Unchanged(difference.warnings));
        }
        let path = match account_path(id) {
            Ok(path) => path,
            Err(error) => return Ok(Outcome::of_account(error.to_string())),
        };
        self.reports.tell(Report::Change(change(&entry.named, path, &difference))).await;
        if self.dry_run {
            return Ok(Outcome::Written(difference.warnings));
        }
        self.written.intend(id, &difference.changed).await?;
        let names = difference.changed.keys().cloned().collect();
        let changes = Changes { traits: difference.changed, ..Changes::default() };
        match self.vitally.update(id, &changes).await {
            Ok(_) => {
                self.seen_to(id, names).await?;
                Ok(Outcome::Written(difference.warnings))
            }
            Err(error) if error.is_refused_secret() || matches!(error, VitallyError::RateLimited { .. }) => {
                Err(error.into())
            }
            Err(error) => {
                let is_trouble = error.is_trouble();
                Ok(Outcome::Failed { why: error.to_string(), is_trouble })
            }
        }
    }

    async fn seen_to(&self, id: &str, written: Vec<String>) -> Result<(), WrittenError> {
        if self.dry_run { Ok(()) } else { self.written.seen_to(DIRECTION, id, written).await }
    }

    async fn look_up(&self, value: &str) -> Result<LookUp, ToVitallyError> {
        let kind = self.matching.kind.clone();
        let query = Query {
            lookup: Some(Lookup::Match { kind, value: value.to_owned() }),
            expand: self.matching.expand(),
            workspace_id: None,
        };
        match self.accoil.get(&query).await {
            Ok(found) => Ok(checked(self.matching, &found, value)),
            Err(error) if error.is_not_found() => Ok(LookUp::Unknown),
            Err(error) if error.is_refused_token() || matches!(error, GetError::RateLimited { .. }) => {
                Err(error.into())
            }
            Err(error) => {
                let is_trouble = error.is_trouble();
                Ok(LookUp::Failed(Outcome::Failed { why: error.to_string(), is_trouble }))
            }
        }
    }
}

impl Outcome {
    fn of_account(why: String) -> Self {
        Self::Failed { why, is_trouble: false }
    }
}

/// Sure that it is the account that was asked for, and one with scores.
fn checked(matching: &Matching, found: &Found, asked: &str) -> LookUp {
    if !matching.is_it(&found.account, asked) {
        let why = "Accoil answered with another account than the one asked for";
        return LookUp::Failed(Outcome::of_account(why.to_owned()));
    }
    match serde_json::from_str::<Value>(&found.body) {
        Ok(body) if body.get("metrics").is_some_and(Value::is_object) => LookUp::Account(body),
        _ => LookUp::Skipped("Accoil has no metrics of it yet".to_owned()),
    }
}

enum LookUp {
    Account(Value),
    Unknown,
    Skipped(String),
    Failed(Outcome),
}

fn change(named: &AccountName, path: String, difference: &Difference) -> Change {
    Change {
        named: named.clone(),
        to: "vitally".to_owned(),
        method: "PUT".to_owned(),
        path,
        body: serde_json::json!({"traits": difference.changed}),
        before: Some(Value::Object(difference.before.clone())),
    }
}

fn count(summary: &mut Summary, named: AccountName, outcome: Outcome) {
    let (counted, warnings) = match outcome {
        Outcome::Resumed => (&mut summary.resumed, Vec::new()),
        Outcome::Unchanged(warnings) => (&mut summary.unchanged, warnings),
        Outcome::Written(warnings) => (&mut summary.written, warnings),
        Outcome::Unknown => return summary.unknown.push(named),
        Outcome::Skipped(reason) => return summary.skipped.push(Problem { named, reason }),
        Outcome::Failed { why, .. } => return summary.fail(named, why),
    };
    *counted += 1;
    for warning in warnings {
        summary.warn(&named, warning);
    }
}
