//! Turns a Vitally account into a group event for Accoil. Pure.
//!
//! A value of a wrong kind is left out with a warning. Nothing is guessed.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};

use crate::accounts::lenient;
use crate::accounts::vitally::Account;
use crate::json::number_text;
use crate::times;

/// Which traits are sent, in addition to name and creation time.
#[derive(Debug, Clone)]
pub struct CarriedTraits {
    pub plan_trait: String,
    pub status_trait: String,
    /// The status of an account that has churned.
    pub churned_status: String,
    /// Further traits, by their flat keys.
    pub traits: Vec<String>,
    /// Whether the configuration states the unit of Vitally's `mrr`.
    pub is_mrr_unit_set: bool,
}

/// These are made from the account's attributes, so a Vitally trait with the same name is not copied.
const RESERVED_TRAITS: [&str; 5] = ["name", "createdAt", "status", "plan", "mrr"];

/// The event as JSON in the shape of Segment's spec, and warnings about values that were left out.
pub(super) fn event(
    account: &Account,
    group: &str,
    carried: &CarriedTraits,
    now: DateTime<Utc>,
) -> (Value, Vec<String>) {
    let mut warnings = Vec::new();
    let mut traits = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            traits.entry(key).or_insert(value);
        }
    };
    put("name", account.name.clone().map(Value::from));
    put("createdAt", account.created_at.clone().map(Value::from));
    put("status", status(account, carried, now, &mut warnings).map(Value::from));
    put("plan", word(account, &carried.plan_trait, &mut warnings).map(Value::from));
    put("mrr", mrr(account, &mut warnings));
    for key in carried.traits.iter().filter(|key| !RESERVED_TRAITS.contains(&key.as_str())) {
        put(key, account.traits.get(key).cloned());
    }
    let timestamp = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    let event =
        serde_json::json!({"type": "group", "groupId": group, "traits": traits, "timestamp": timestamp});
    (event, warnings)
}

/// Churned, or else the trait's value, or else `trial` until the trial ends.
fn status(
    account: &Account,
    carried: &CarriedTraits,
    now: DateTime<Utc>,
    warnings: &mut Vec<String>,
) -> Option<String> {
    let churned_at = time(account.churned_at.as_deref(), "churnedAt", warnings);
    let trial_end = time(account.trial_end_date.as_deref(), "trialEndDate", warnings);
    if churned_at.is_some_and(|at| at <= now) {
        return Some(carried.churned_status.clone());
    }
    let on_trial = || trial_end.filter(|at| *at > now).map(|_| "trial".to_owned());
    word(account, &carried.status_trait, warnings).or_else(on_trial)
}

fn time(text: Option<&str>, name: &str, warnings: &mut Vec<String>) -> Option<DateTime<Utc>> {
    let time = times::read_text(text?);
    if time.is_none() {
        warnings.push(format!("{name} is not a date and was ignored"));
    }
    time
}

/// A trait that is text or a number.
fn word(account: &Account, key: &str, warnings: &mut Vec<String>) -> Option<String> {
    match account.traits.get(key)? {
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Value::Number(number) => Some(number_text(number)),
        Value::Null => None,
        _ => {
            warnings.push(format!("the trait {key} is neither text nor a number and was left out"));
            None
        }
    }
}

fn mrr(account: &Account, warnings: &mut Vec<String>) -> Option<Value> {
    let value = account.mrr.as_ref().filter(|value| !value.is_null())?;
    let number = lenient::to_number(value);
    if number.is_none() {
        warnings.push("mrr is not a number and was left out".to_owned());
    }
    number.map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried() -> CarriedTraits {
        CarriedTraits {
            plan_trait: "plan".to_owned(),
            status_trait: "status".to_owned(),
            churned_status: "canceled".to_owned(),
            traits: vec!["hspot.city".to_owned(), "seats".to_owned(), "plan".to_owned()],
            is_mrr_unit_set: true,
        }
    }

    #[test]
    fn an_account_becomes_a_group_event_without_the_unreadable_values() {
        for (account, expected, warned) in [
            (
                r#"{"name":"Acme","createdAt":"2024-01-02T00:00:00.000Z","mrr":99.5,
                    "traits":{"plan":"pro","status":"paid","hspot.city":"Oslo","seats":3,"other":1}}"#,
                r#"{"createdAt":"2024-01-02T00:00:00.000Z","hspot.city":"Oslo","mrr":99.5,"name":"Acme","plan":"pro","seats":3,"status":"paid"}"#,
                0,
            ),
            (r#"{"churnedAt":"2025-01-01","traits":{"status":"paid"}}"#, r#"{"status":"canceled"}"#, 0),
            (r#"{"churnedAt":"2999-01-01","traits":{"status":"paid"}}"#, r#"{"status":"paid"}"#, 0),
            (r#"{"trialEndDate":"2999-01-01T00:00:00Z","traits":{}}"#, r#"{"status":"trial"}"#, 0),
            (r#"{"trialEndDate":"2020-01-01","traits":{"status":""}}"#, "{}", 0),
            (r#"{"mrr":" 1200 ","traits":{"plan":7}}"#, r#"{"mrr":1200,"plan":"7"}"#, 0),
            (r#"{"mrr":"a lot","traits":{"plan":null,"seats":null}}"#, "{}", 1),
            (r#"{"mrr":null,"traits":null,"churnedAt":"once"}"#, "{}", 1),
            (r#"{"traits":{"status":true,"plan":[1]}}"#, "{}", 2),
        ] {
            let account: Account = serde_json::from_str(account).unwrap();
            let now = "2026-01-02T03:04:05Z".parse().unwrap();
            let (event, warnings) = super::event(&account, "g", &carried(), now);
            assert_eq!((event["traits"].to_string(), warnings.len()), (expected.to_owned(), warned));
            assert_eq!((&event["groupId"], &event["type"]), (&Value::from("g"), &Value::from("group")));
        }
    }
}
