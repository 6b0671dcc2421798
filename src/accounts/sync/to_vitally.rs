//! `sync accoil-to-vitally`: each Vitally account is looked up at Accoil, and its traits that differ are written.
//!
//! Never deletes anything, never creates an account, and never writes to an account whose match is uncertain.

use serde_json::{Map, Value, json};

use super::matching::Matching;
use super::reconcile::{Comparison, Failure, Strategy, Write, WrittenValues};
use super::report::{AccountName, Change, Direction};
use super::state::SyncState;
use super::sweep::Entry;
use super::traits::{self, Difference};
use crate::accounts::accoil::{self, Lookup, Query};
use crate::accounts::vitally::{Account, Changes, Client, account_path};

/// The place name under which the traits are recorded.
const PLACE: &str = "vitally";
/// Accounts handled at once: Vitally documents no limit, but answers slowly.
const CONCURRENCY: usize = 4;

/// What the sync needs.
pub(super) struct ToVitally<'a> {
    pub(super) vitally: &'a Client,
    pub(super) accoil: &'a accoil::Client,
    pub(super) matching: &'a Matching,
    pub(super) state: &'a SyncState,
}

/// The traits to write to one account, which Vitally's id names.
pub(super) struct Update {
    id: String,
    traits: Map<String, Value>,
}

impl Strategy for ToVitally<'_> {
    const DIRECTION: Direction = Direction::AccoilToVitally;
    /// The account's traits that the sync may write.
    type KeptPart = Map<String, Value>;
    type Call = Update;

    fn resumable_settings(&self) -> Option<u64> {
        Some(self.matching.settings())
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn key(&self, account: &Account) -> Result<String, String> {
        self.matching.match_value(account)
    }

    fn keep(&self, account: Account) -> Self::KeptPart {
        self.matching.with_prefix(account.traits)
    }

    async fn compare(&self, entry: &Entry<Self::KeptPart>) -> Result<Comparison<Self::Call>, Failure> {
        let query = Query {
            lookup: Some(Lookup::Match { kind: self.matching.kind.clone(), value: entry.key.clone() }),
            expand: self.matching.expand(),
            workspace_id: None,
        };
        let found = match self.accoil.get(&query).await {
            Err(error) if error.is_not_found() => return Ok(Comparison::Unknown),
            outcome => outcome?,
        };
        if !self.matching.is_same_account(&found.account, &entry.key) {
            let why = "Accoil answered with a different account than the one looked up";
            return Err(Failure::Account(why.to_owned()));
        }
        let body: Value = serde_json::from_str(&found.body).unwrap_or_default();
        if !body.get("metrics").is_some_and(Value::is_object) {
            return Ok(Comparison::Skipped("Accoil has no metrics for this account yet".to_owned()));
        }
        let id = entry.named.account.clone().unwrap_or_default();
        let wanted = traits::wanted(&body, &self.matching.prefix, self.matching.insights);
        let own = self.state.written(PLACE, &id).await?;
        comparison(&entry.named, &id, traits::difference(&entry.kept, wanted, &own))
    }

    async fn write(&self, Update { id, traits }: Update) -> Result<(), Failure> {
        self.vitally.update(&id, &Changes { traits, ..Changes::default() }).await?;
        Ok(())
    }
}

fn comparison(named: &AccountName, id: &str, difference: Difference) -> Result<Comparison<Update>, Failure> {
    let recorded = |values| WrittenValues { place: PLACE.to_owned(), account: id.to_owned(), values };
    let found = (!difference.found.is_empty()).then(|| recorded(difference.found));
    let mut writes = Vec::new();
    if !difference.changed.is_empty() {
        let change = Change {
            named: named.clone(),
            to: "vitally".to_owned(),
            method: "PUT".to_owned(),
            path: account_path(id)?,
            body: json!({"traits": difference.changed}),
            before: Some(Value::Object(difference.before)),
        };
        let values = recorded(difference.changed.clone());
        writes.push(Write { change, call: Update { id: id.to_owned(), traits: difference.changed }, values });
    }
    Ok(Comparison::Compared { found, writes, warnings: difference.warnings })
}
