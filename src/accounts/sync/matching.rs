//! How a Vitally account is looked up at Accoil, and the check that Accoil answered with the right account. Pure.

use serde_json::{Map, Value};

use crate::accoil::Fingerprint;
use crate::accounts::accoil::{self, ExpandBlocks};
use crate::accounts::vitally::Account;
use crate::json::number_text;

/// How an account is looked up and which traits are written.
#[derive(Debug, Clone)]
pub struct Matching {
    /// Accoil's `match_type`.
    pub kind: String,
    /// `externalId`, `name`, or `traits.KEY`.
    pub value: String,
    /// The prefix of each trait's name.
    pub prefix: String,
    pub insights: bool,
}

impl Matching {
    /// A hash of the settings: after a change an interrupted run starts over.
    pub(super) fn settings(&self) -> u64 {
        let [kind, value, prefix] = [&self.kind, &self.value, &self.prefix].map(String::as_bytes);
        Fingerprint::new(&[kind, value, prefix, &[u8::from(self.insights)]], &[]).key
    }

    /// The value by which the account is looked up at Accoil.
    pub(super) fn match_value(&self, account: &Account) -> Result<String, String> {
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

    /// Whether Accoil's answer contains the matched value without an expansion.
    fn is_match_in_answer(&self) -> bool {
        ["tracking_id", "domain", "name"].contains(&self.kind.as_str())
    }

    pub(super) fn expand(&self) -> ExpandBlocks {
        ExpandBlocks { segments: true, insights: self.insights, traits: !self.is_match_in_answer() }
    }

    /// The traits that the sync may write. The others need not stay in memory.
    pub(super) fn with_prefix(&self, traits: Map<String, Value>) -> Map<String, Value> {
        traits.into_iter().filter(|(name, _)| name.starts_with(&self.prefix)).collect()
    }

    /// Whether Accoil answered with the account that was looked up.
    pub(super) fn is_same_account(&self, account: &accoil::Account, asked: &str) -> bool {
        let is_asked = |answered: &Option<String>| answered.as_deref() == Some(asked);
        match self.kind.as_str() {
            "tracking_id" => is_asked(&account.tracking_id),
            "name" => is_asked(&account.name),
            "domain" => account.domain.as_ref().is_some_and(|domain| domain.eq_ignore_ascii_case(asked)),
            // Accoil does not document whether the traits contain the matched value. If they do, it must be equal.
            kind => match account.traits.as_ref().and_then(|traits| traits.get(kind)) {
                Some(Value::String(text)) => text == asked,
                Some(Value::Number(number)) => number_text(number) == asked,
                _ => true,
            },
        }
    }
}
