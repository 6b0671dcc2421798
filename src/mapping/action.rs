//! The actions of Segment's Accoil destination, read once from `mappings/actions.toml`, which the binary embeds.

use std::sync::LazyLock;

use serde::Deserialize;

use super::field::Field;

const TABLE: &str = include_str!("../../mappings/actions.toml");

/// What a mapping asks to be done with an event.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// How mappings name it (`partnerAction` in Segment's JSON).
    pub slug: String,
    pub label: String,
    pub description: String,
    /// The trigger it has by default.
    pub trigger: String,
    /// In the order in which Segment shows them.
    #[serde(default)]
    pub fields: Vec<Field>,
}

impl Action {
    /// All six.
    pub fn all() -> &'static [Action] {
        // The table is part of the binary and a test reads it: it cannot fail here.
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
