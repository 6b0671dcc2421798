//! The bodies of a create and an update. Fields that are not set are not sent.

use serde::Serialize;
use serde_json::{Map, Value};

/// A new account.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAccount {
    pub external_id: String,
    pub name: String,
    /// Vitally's own id of the organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// Keys are flat: a dot has no meaning.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub traits: Map<String, Value>,
}

/// The changes to an account; everything else stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Changes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Merged into the existing traits; null removes a trait. Keys are flat: a dot has no meaning.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub traits: Map<String, Value>,
    /// Vitally's id of the organization or its externalId. `Some(None)` removes the account from its organization.
    #[serde(rename = "organizationId", skip_serializing_if = "Option::is_none")]
    pub organization: Option<Option<String>>,
    /// Removes the account's owner. An owner can be chosen only in Vitally's app.
    #[serde(rename = "accountOwnerId", skip_serializing_if = "Option::is_none")]
    pub no_owner: Option<()>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn traits(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_is_set_is_sent() {
        let new = NewAccount {
            external_id: "account-101".into(),
            name: "Big Corp".into(),
            ..NewAccount::default()
        };
        assert_eq!(json!(new), json!({"externalId": "account-101", "name": "Big Corp"}));
        assert_eq!(json!(Changes::default()), json!({}));
        assert!(Changes::default().is_empty());
        let removed = Changes { organization: Some(None), no_owner: Some(()), ..Changes::default() };
        assert_eq!(json!(removed), json!({"organizationId": null, "accountOwnerId": null}));
        assert!(!Changes { no_owner: Some(()), ..Changes::default() }.is_empty());
        let changed = Changes {
            name: Some("New Name".into()),
            traits: traits(json!({"hspot.city": "Bern", "gone": null, "n": 100})),
            organization: Some(Some("o1".into())),
            no_owner: None,
        };
        let sent = json!({"name": "New Name", "organizationId": "o1",
            "traits": {"hspot.city": "Bern", "gone": null, "n": 100}});
        assert_eq!(json!(changed), sent);
    }
}
