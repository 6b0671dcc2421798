//! `sync vitally-to-accoil`: each Vitally account becomes a group call, if its content is new.
//!
//! The calls go to Accoil directly and not through the outbox. Per account and destination, a hash of the last delivered
//! content is recorded.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::Method;
use serde_json::{Map, Value};

use super::group::{self, CarriedTraits};
use super::reconcile::{Comparison, Failure, RunError, Strategy, Write, WrittenValues};
use super::report::{AccountName, Change, Direction, Summary};
use super::state::SyncState;
use super::sweep::Entry;
use crate::accoil::{self, Destination, Request};
use crate::accounts::answer::{excerpt, when};
use crate::accounts::http::{Answer, Call, CallSettings, Caller, ClientError, retry_after};
use crate::accounts::pace::Pace;
use crate::accounts::vitally::Account;
use crate::deliver::{Verdict, classify, is_web_page};
use crate::event::{DecodeResult, Event, SourceKind};
use crate::json;
use crate::proxies::Proxies;

/// The name under which the hash of a group call is recorded.
const CONTENT: &str = "group";

const MRR_UNIT_MISSING: &str = "mrr is read in the unit that the destination's mrr_unit sets (cents by default): set mrr_unit in \
                                [vitally_to_accoil]; most Vitally workspaces use dollars";

/// A destination that gets Vitally's accounts.
pub struct Recipient {
    /// Has only the mapping for Vitally's accounts.
    destination: Arc<Destination>,
    concurrency: usize,
    caller: Caller,
}

impl Recipient {
    /// `rate` is the most calls a second. `authorization` is the header that the destination's dialect needs.
    pub fn new(
        destination: Arc<Destination>,
        base_url: &str,
        authorization: &str,
        rate: Option<u32>,
        settings: CallSettings,
        proxies: &Proxies,
    ) -> Result<Self, ClientError> {
        let pace = rate.map_or_else(Pace::default, Pace::per_second);
        let caller = Caller::new(base_url, authorization, pace, settings, proxies)?;
        Ok(Self { destination, concurrency: settings.concurrency, caller })
    }

    /// Makes the call. Only a 2xx that is not a web page is a success.
    async fn send(&self, request: Request) -> Result<(), Failure> {
        let name = &self.destination.name;
        let call = Call {
            method: Method::POST,
            path: request.path.to_owned(),
            body: request.body.into(),
            // Sending the same traits twice changes nothing.
            is_idempotent: true,
        };
        match self.caller.send(call).await {
            Ok(answer) => judge(name, &answer),
            Err(error) => Err(Failure::System(format!("{name}: {error}"))),
        }
    }
}

/// What Accoil's answer means for the account, by the same rules as a delivery.
fn judge(name: &str, answer: &Answer) -> Result<(), Failure> {
    let status = answer.status;
    let fatal = |why: String| Err(Failure::Fatal(RunError::Destination(why)));
    let answered = || format!("{name} answered {status}: {}", excerpt(&answer.body, str::to_owned));
    match (status, classify(Some(status))) {
        (429, _) => fatal(format!(
            "destination {name} accepts no more calls at the moment (429): try again {}",
            when(retry_after(answer))
        )),
        // A login page or a captive portal answers every call with a page: nothing was written.
        (_, Verdict::Delivered) if is_web_page(answer) => fatal(format!(
            "destination {name} answered {status} with a web page: check its base_url, and that no proxy or login page \
             answers in its place"
        )),
        // These answers concern the address and not the call.
        (_, Verdict::Place) => fatal(format!("destination {name} answered {status}: is its base_url right?")),
        (_, Verdict::Delivered) => Ok(()),
        (_, Verdict::Credentials) => fatal(format!(
            "Accoil refuses the key of destination {name} ({status}): correct its api_key; the next run writes the rest"
        )),
        (_, Verdict::Retry) => Err(Failure::System(answered())),
        (_, Verdict::Permanent) => Err(Failure::Account(answered())),
    }
}

/// The calls to Accoil for one Vitally account, mapped and validated.
pub(super) struct AccountCalls {
    has_mrr: bool,
    /// One per destination.
    requests: Vec<Request>,
    refusals: Vec<String>,
    warnings: Vec<String>,
}

/// What the sync needs.
pub(super) struct ToAccoil<'a> {
    pub(super) recipients: &'a [Recipient],
    pub(super) carried: &'a CarriedTraits,
    pub(super) state: &'a SyncState,
    pub(super) now: DateTime<Utc>,
}

impl Strategy for ToAccoil<'_> {
    const DIRECTION: Direction = Direction::VitallyToAccoil;
    type KeptPart = AccountCalls;
    type Call = Request;

    /// Comparing again costs no call to Accoil, so nothing is resumed.
    fn resumable_settings(&self) -> Option<u64> {
        None
    }

    fn concurrency(&self) -> usize {
        self.recipients.iter().map(|recipient| recipient.concurrency).max().unwrap_or(1)
    }

    fn key(&self, account: &Account) -> Result<String, String> {
        account.external_id.clone().ok_or_else(|| "it has no externalId".to_owned())
    }

    fn keep(&self, account: Account) -> AccountCalls {
        let group = account.external_id.as_deref().unwrap_or_default();
        let (event, warnings) = group::event(&account, group, self.carried, self.now);
        let (text, has_mrr) = (event.to_string(), event["traits"].get("mrr").is_some());
        let mut prepared = AccountCalls { has_mrr, requests: Vec::new(), refusals: Vec::new(), warnings };
        let value = match json::Value::parse(&text) {
            Ok(value) => value,
            Err(error) => {
                prepared.refusals.push(error.to_string());
                return prepared;
            }
        };
        // Derived events get a hash of their content.
        let event = Event { value, received_at: self.now, derived: true, warnings: Vec::new() };
        let destinations: Vec<_> = self.recipients.iter().map(|one| Arc::clone(&one.destination)).collect();
        let plan = accoil::plan(&destinations, SourceKind::Segment, &DecodeResult::Events(vec![event]));
        let refusals = plan.rejected.iter().map(|refusal| format!("{} {}", refusal.field, refusal.reason));
        prepared.refusals.extend(refusals);
        let warnings = plan.requests.iter().map(|request| request.warnings.clone());
        prepared.warnings.extend(warnings.filter(|warning| !warning.is_empty()));
        prepared.requests = plan.requests;
        prepared
    }

    fn warn(&self, entries: &[Entry<AccountCalls>], summary: &mut Summary) {
        if !self.carried.is_mrr_unit_set && entries.iter().any(|entry| entry.kept.has_mrr) {
            summary.warn(&AccountName::default(), MRR_UNIT_MISSING);
        }
    }

    async fn compare(&self, entry: &Entry<AccountCalls>) -> Result<Comparison<Request>, Failure> {
        if let Some(why) = entry.kept.refusals.first() {
            return Err(Failure::Account(why.clone()));
        }
        let mut writes = Vec::new();
        for request in &entry.kept.requests {
            let place = format!("accoil {}", request.destination);
            let content = Value::from(request.fingerprints.first().map_or(0, |one| one.content));
            let written = self.state.written(&place, &entry.key).await?;
            if written.get(CONTENT) != Some(&content) {
                let values = Map::from_iter([(CONTENT.to_owned(), content)]);
                let values = WrittenValues { place, account: entry.key.clone(), values };
                writes.push(Write { change: change(&entry.named, request), call: request.clone(), values });
            }
        }
        Ok(Comparison::Compared { found: None, writes, warnings: entry.kept.warnings.clone() })
    }

    async fn write(&self, request: Request) -> Result<(), Failure> {
        match self.recipients.iter().find(|recipient| recipient.destination.name == request.destination) {
            Some(recipient) => recipient.send(request).await,
            None => Ok(()),
        }
    }
}

fn change(named: &AccountName, request: &Request) -> Change {
    Change {
        named: named.clone(),
        to: request.destination.to_string(),
        method: "POST".to_owned(),
        path: request.path.to_owned(),
        body: serde_json::from_slice(&request.body).unwrap_or_default(),
        before: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_success_without_a_web_page_counts_as_written() {
        for (status, body, expected) in [
            (200, "", "written"),
            (202, "{\"success\":true}", "written"),
            (200, "<!doctype html><title>Sign in", "run"),
            (204, "\u{feff} <HTML>", "run"),
            (302, "", "run"),
            (401, "", "run"),
            (404, "", "run"),
            (429, "", "run"),
            (400, "<html>", "account"),
            (503, "<html>", "system"),
        ] {
            let answer = Answer { status, headers: http::HeaderMap::new(), body: body.into() };
            let outcome = match judge("accoil", &answer) {
                Ok(()) => "written",
                Err(Failure::Fatal(_)) => "run",
                Err(Failure::Account(_)) => "account",
                Err(Failure::System(_)) => "system",
            };
            assert_eq!(outcome, expected, "{status} {body}");
        }
    }
}
