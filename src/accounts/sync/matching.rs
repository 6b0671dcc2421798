//! How Accoil finds the account that belongs to one of Vitally's, and whether what it answers with is that one: pure.

use serde_json::{Map, Value};

use crate::accoil::Fingerprint;
use crate::accounts::accoil::{self, Expand};
use crate::accounts::vitally::Account;
use crate::json::number_text;

/// How an account is matched and what is written of it.
#[derive(Debug, Clone)]
pub struct Matching {
    /// Accoil's `match_type`.
    pub kind: String,
    /// `externalId`, `name`, or `traits.KEY`.
    pub value: String,
    /// Stands before each trait's name.
    pub prefix: String,
    pub insights: bool,
}

impl Matching {
    /// The same for the same settings: a run that was broken off under others is begun anew.
    pub(super) fn settings(&self) -> u64 {
        let [kind, value, prefix] = [&self.kind, &self.value, &self.prefix].map(String::as_bytes);
        Fingerprint::new(&[kind, value, prefix, &[u8::from(self.insights)]], &[]).key
    }

    /// By what Accoil is asked for the account.
    pub(super) fn value_of(&self, account: &Account) -> Result<String, String> {
        let value = match self.value.as_str() {
            "externalId" => account.external_id.clone(),
            "name" => account.name.clone(),
            path => match path.strip_prefix("traits.").and_then(|key| account.traits.get(key)) {
                Some(Value::String(text)) if !text.trim().is_empty() => Some(text.clone()),
                Some(Value::Number(number)) => Some(number_text(number)),
                _ => None,
            },
        };
        value.ok_or_else(|| format!("it has no {}", self.value))
    }

    /// Whether Accoil's answer shows by itself what it was asked by.
    fn is_shown(&self) -> bool {
        ["tracking_id", "domain", "name"].contains(&self.kind.as_str())
    }

    pub(super) fn expand(&self) -> Expand {
        Expand { segments: true, insights: self.insights, traits: !self.is_shown() }
    }

    /// The traits that may be written; the others need not stay in memory.
    pub(super) fn with_prefix(&self, traits: Map<String, Value>) -> Map<String, Value> {
        traits.into_iter().filter(|(name, _)| name.starts_with(&self.prefix)).collect()
    }

    /// Whether it is the account that was asked for.
    pub(super) fn is_it(&self, account: &accoil::Account, asked: &str) -> bool {
        let is_asked = |answered: &Option<String>| answered.as_deref() == Some(asked);
        match self.kind.as_str() {
            "tracking_id" => is_asked(&account.tracking_id),
            "name" => is_asked(&account.name),
            "domain" => account.domain.as_ref().is_some_and(|domain| domain.eq_ignore_ascii_case(asked)),
            // Whether it is among the traits is not documented; if it is, it must be the same.
            kind => match account.traits.as_ref().and_then(|traits| traits.get(kind)) {
                Some(Value::String(text)) => text == asked,
                Some(Value::Number(number)) => number_text(number) == asked,
                _ => true,
            },
        }
    }
}
