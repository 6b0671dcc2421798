//! The actions of Segment's Accoil destination, read once from `mappings/actions.toml`, which is embedded in the
//! binary.

use std::sync::LazyLock;

use serde::Deserialize;

use super::field::Field;

const TABLE: &str = include_str!("../../mappings/actions.toml");

/// A kind of call that a mapping can make.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The name that mappings use (`partnerAction` in Segment's JSON).
    pub slug: String,
    pub label: String,
    pub description: String,
    /// The default trigger.
    pub trigger: String,
    /// In the order in which Segment shows them.
    #[serde(default)]
    pub fields: Vec<Field>,
}

impl Action {
    /// Returns all six actions.
    pub fn all() -> &'static [Action] {
        // The table is part of the binary and a test reads it, so that this cannot fail.
        static ALL: LazyLock<Vec<Action>> = LazyLock::new(|| parse(TABLE).unwrap_or_default());
        &ALL
    }

    pub fn find(slug: &str) -> Option<&'static Action> {
        Self::all().iter().find(|action| action.slug == slug)
    }

    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key)
    }
}

pub(super) fn parse(table: &str) -> Result<Vec<Action>, toml::de::Error> {
    #[derive(Deserialize)]
    struct Table {
        actions: Vec<Action>,
    }

    toml::from_str(table).map(|Table { actions }| actions)
}
