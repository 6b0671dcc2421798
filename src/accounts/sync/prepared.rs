//! A Vitally account as the calls that it means at Accoil: mapped, validated and known by what they say.
//!
//! Pure: whether a call is to be made is decided where it is known what was said before.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::SOURCE;
use super::group::{self, CarriedTraits};
use super::report::{AccountName, Change};
use crate::accoil::{self, Destination, Fingerprint, Request};
use crate::accounts::vitally::Account;
use crate::event::{Decoded, Event, SourceKind};
use crate::json;

pub(super) struct Prepared {
    /// The group event that was made of the account.
    pub(super) original: String,
    pub(super) has_mrr: bool,
    /// One a destination, each with a single fingerprint.
    pub(super) requests: Vec<Request>,
    pub(super) refusals: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Prepared {
    pub(super) fn new(
        account: &Account,
        destinations: &[Arc<Destination>],
        carried: &CarriedTraits,
        now: DateTime<Utc>,
    ) -> Self {
        let group = account.external_id.as_deref().unwrap_or_default();
        let (event, warnings) = group::event(account, group, carried, now);
        let (original, has_mrr) = (event.to_string(), event["traits"].get("mrr").is_some());
        let mut prepared = Self { original, has_mrr, requests: Vec::new(), refusals: Vec::new(), warnings };
        let value = match json::Value::parse(&prepared.original) {
            Ok(value) => value,
            Err(error) => {
                prepared.refusals.push(error.to_string());
                return prepared;
            }
        };
        // Derived, for its fingerprint: it is sent only when it says something new.
        let event = Event { value, received_at: now, derived: true };
        let plan = accoil::plan(destinations, SourceKind::Segment, Decoded::Events(vec![event]));
        prepared.refusals =
            plan.rejected.iter().map(|refusal| format!("{} {}", refusal.field, refusal.reason)).collect();
        prepared.requests = plan.requests.into_iter().map(|request| with_own_key(request, group)).collect();
        prepared.warnings.extend(
            prepared.requests.iter().map(|one| one.warnings.clone()).filter(|warning| !warning.is_empty()),
        );
        prepared
    }
}

/// Known by a key of the sync's own: what other sources say of the account is none of its business.
fn with_own_key(mut request: Request, group: &str) -> Request {
    let content = request.fingerprints.first().map_or(0, |one| one.content);
    let key =
        Fingerprint::new(&[request.destination.as_bytes(), SOURCE.as_bytes(), group.as_bytes()], &[]).key;
    request.fingerprints = vec![Fingerprint { key, content }];
    request
}

/// The call as it is told.
pub(super) fn change(named: &AccountName, request: &Request) -> Change {
    Change {
        named: named.clone(),
        to: request.destination.to_string(),
        method: "POST".to_owned(),
        path: request.path.to_owned(),
        body: serde_json::from_slice(&request.body).unwrap_or_default(),
        before: None,
    }
}
