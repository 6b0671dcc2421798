//! The accounts of one system, found by the system's own id or by the id that both systems share.
//!
//! An account is a plain map that is sent as it is, so that a test can store values that the real system would never
//! send.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};

/// An account as it is sent: its members by name.
pub(super) type Account = Map<String, Value>;

#[derive(Debug)]
pub(super) struct Store {
    /// The name of the member that holds the shared id.
    shared: &'static str,
    accounts: BTreeMap<String, Account>,
    /// The own ids for each shared id. There is more than one if a test stored two accounts with the same shared id.
    ids: BTreeMap<String, BTreeSet<String>>,
}

impl Store {
    pub(super) fn new(shared: &'static str, accounts: impl IntoIterator<Item = Value>) -> Self {
        let mut store = Self { shared, accounts: BTreeMap::new(), ids: BTreeMap::new() };
        for account in accounts {
            store.set(account);
        }
        store
    }

    /// Stores an account and replaces the one with the same id. Returns false if the value is not an object with a
    /// string `id`.
    pub(super) fn set(&mut self, account: Value) -> bool {
        let Value::Object(account) = account else { return false };
        let Some(id) = text(&account, "id").map(str::to_owned) else { return false };
        self.remove(&id);
        if let Some(shared) = text(&account, self.shared) {
            self.ids.entry(shared.to_owned()).or_default().insert(id.clone());
        }
        self.accounts.insert(id, account);
        true
    }

    /// Removes the account with this own id.
    pub(super) fn remove(&mut self, id: &str) -> Option<Account> {
        let account = self.accounts.remove(id)?;
        if let Some(shared) = text(&account, self.shared)
            && let Some(ids) = self.ids.get_mut(shared)
        {
            ids.remove(id);
            if ids.is_empty() {
                self.ids.remove(shared);
            }
        }
        Some(account)
    }

    /// Returns an account by its own id.
    pub(super) fn get(&self, id: &str) -> Option<&Account> {
        self.accounts.get(id)
    }

    /// Returns an account by its own id, to change anything but its two ids.
    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Account> {
        self.accounts.get_mut(id)
    }

    /// Returns the own id of the account with this shared id: the lowest if there are several.
    pub(super) fn id_of(&self, shared: &str) -> Option<&str> {
        self.ids.get(shared)?.first().map(String::as_str)
    }

    /// Returns the accounts in the order of their own ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }
}

/// Returns a member that is a string.
pub(super) fn text<'a>(account: &'a Account, member: &str) -> Option<&'a str> {
    account.get(member)?.as_str()
}

/// Writes the members in the documented order, then the others.
pub(super) struct InOrder<'a> {
    pub(super) members: &'a Account,
    pub(super) order: &'static [&'static str],
}

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for name in self.order {
            if let Some(value) = self.members.get(*name) {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in self.members.iter().filter(|(name, _)| !self.order.contains(&name.as_str())) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
