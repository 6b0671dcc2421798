//! The accounts of one of the two systems, by its own id and by the id that both know them under.
//!
//! Plain maps of what the system would send, so that a test can put in what no system should.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};

/// An account as it is sent: its members by name.
pub(super) type Account = Map<String, Value>;

#[derive(Debug)]
pub(super) struct Store {
    /// The member that holds the shared id.
    shared: &'static str,
    accounts: BTreeMap<String, Account>,
    /// Of each shared id the own ids; more than one if a test put two in.
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

    /// Puts an account in, in place of the one with its id. False: it is no object with an `id` that is text.
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

    /// Takes out the account with this own id.
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

    /// By its own id.
    pub(super) fn get(&self, id: &str) -> Option<&Account> {
        self.accounts.get(id)
    }

    /// By its own id, to change anything but its two ids.
    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Account> {
        self.accounts.get_mut(id)
    }

    /// The own id of the account with this shared id; of several the first.
    pub(super) fn id_of(&self, shared: &str) -> Option<&str> {
        self.ids.get(shared)?.first().map(String::as_str)
    }

    /// In the order of their own ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }
}

/// A member that is text.
pub(super) fn text<'a>(account: &'a Account, member: &str) -> Option<&'a str> {
    account.get(member)?.as_str()
}

/// Members in the order of the documents, then the others.
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
