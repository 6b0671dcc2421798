//! Accoil's read API, `GET /v1/accounts` (`docs/accoil-api.md#reading-accounts`), and its accounts.
//!
//! Status, bodies and the order of members are as documented. Some things are invented because Accoil does not
//! document them: the content of `traits`, `segments` and `insights`; their place before `_expansions`; that `id`
//! wins over a match; that the lowest id wins among several matches; the answer without a `workspace_id`. Only a
//! fault answers 429, because its body is not documented.

mod get;
mod users;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::routing::get;
use serde_json::{Map, Value};

use super::Sandbox;
use super::data::Company;
use super::store::Store;
use crate::json;

/// The accounts in Accoil.
#[derive(Debug)]
pub struct Accounts {
    store: Mutex<Store>,
    reads: AtomicU64,
}

impl Accounts {
    pub(super) fn new<'a>(companies: impl IntoIterator<Item = &'a Company>) -> Self {
        let accounts = companies.into_iter().filter_map(Company::in_accoil);
        Self { store: Mutex::new(Store::new("tracking_id", accounts)), reads: AtomicU64::new(0) }
    }

    /// Stores an account and replaces the one with the same `id`. Its members are sent as they are, with `traits`,
    /// `segments` and `insights`. Returns false if the value is not an object with a string `id`.
    pub fn set(&self, account: Value) -> bool {
        self.store().set(account)
    }

    /// Removes the account with this `id` of Accoil's; returns false if there is none.
    pub fn remove(&self, id: &str) -> bool {
        self.store().remove(id).is_some()
    }

    /// Returns the accounts with their expansions, in the order of their ids.
    pub fn list(&self) -> Vec<Value> {
        self.store().iter().cloned().map(Value::Object).collect()
    }

    /// Returns how many requests were processed, whatever the answer. Requests that a fault refused do not count.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Adds the traits of a group call to the account with that `tracking_id`, and takes its `name` as the account's
    /// name. The metrics do not change.
    pub(super) fn apply_group_call(&self, path: &str, body: &[u8]) {
        let member = match path {
            "/v2/group" => "groupId",
            "/v1/groups" => "group_id",
            "/segment" if mentions_group(body) => "groupId",
            _ => return,
        };
        let call = std::str::from_utf8(body).ok().and_then(|text| json::Value::parse(text).ok());
        let Some(call) = call else { return };
        let is_group = path != "/segment" || call.get("type").and_then(json::Value::as_str) == Some("group");
        let group = call.get(member).and_then(json::Value::as_str).filter(|_| is_group);
        let (Some(group), Some(traits)) = (group, call.get("traits")) else { return };
        let mut store = self.store();
        let Some(id) = store.id_of(group).map(str::to_owned) else { return };
        if let (Some(account), Ok(Value::Object(traits))) = (store.get_mut(&id), serde_json::to_value(traits))
        {
            merge(account, traits);
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every post to `/segment` is tested with this, so that most of them need not be parsed.
fn mentions_group(body: &[u8]) -> bool {
    body.windows(7).any(|word| word == b"\"group\"")
}

fn merge(account: &mut Map<String, Value>, mut traits: Map<String, Value>) {
    if let Some(name) = traits.get("name").filter(|name| name.is_string()) {
        account.insert("name".to_owned(), name.clone());
    }
    match account.get_mut("traits") {
        Some(Value::Object(known)) => known.append(&mut traits),
        _ => drop(account.insert("traits".to_owned(), Value::Object(traits))),
    }
}

pub(super) fn routes() -> Router<Sandbox> {
    Router::new().route("/v1/accounts", get(get::answer)).route("/v2/users", get(users::answer))
}
