//! One Accoil product with its mappings and its dialect: turns an event into requests.

use std::sync::Arc;

use super::body::{Body, Money};
use super::plan::Plan;
use super::{Fingerprint, Request, money, segment, v2};
use crate::event::{Dialect, Event, SourceKind, Violation};
use crate::fault::Fault;
use crate::json::Value;
use crate::mapping::{Mapping, Mappings, Payload};
use crate::reasons::Reason;

/// The settings of a destination that this stage needs.
pub struct Destination {
    pub name: Arc<str>,
    pub dialect: Dialect,
    /// Refuses what Segment's own destination refuses (`docs/mappings-reference.md#what-is-checked`).
    pub strict: bool,
    /// The name that an event's `integrations` uses to switch this destination on or off
    /// (`docs/segment.md#the-integrations-object`).
    pub integration: String,
    pub money: Money,
    pub mappings: Mappings,
}

/// The result of encoding a payload in a dialect.
pub(super) enum EncodeResult {
    Request {
        path: &'static str,
        body: Body,
    },
    /// There is nothing to send, and that is no fault.
    Skipped(Reason),
    Refused(Violation),
}

impl Destination {
    /// Reads the mapping files again. Returns the same destination with them, or every fault in them.
    pub fn reload(&self) -> Result<Self, Vec<Fault>> {
        Ok(self.with_mappings(self.mappings.reload()?))
    }

    /// Returns the same destination with the mappings of a draft, or every fault in it.
    pub fn with_draft(&self, draft: &str) -> Result<Self, Vec<Fault>> {
        Ok(self.with_mappings(self.mappings.with_draft(draft)?))
    }

    fn with_mappings(&self, mappings: Mappings) -> Self {
        Self {
            name: Arc::clone(&self.name),
            dialect: self.dialect,
            strict: self.strict,
            integration: self.integration.clone(),
            money: self.money,
            mappings,
        }
    }

    /// Adds a request to the plan for each mapping whose trigger holds.
    pub(super) fn handle(&self, kind: SourceKind, event: &Event<'_>, plan: &mut Plan) {
        if !self.is_wanted(&event.value) {
            plan.skip(Reason::SkipSwitchedOff);
            return;
        }
        let mut matched = false;
        for mapping in self.mappings.iter().filter(|mapping| mapping.matches(kind, event)) {
            matched = true;
            let (requests, refusals) = (plan.requests.len(), plan.rejected.len());
            self.map(mapping, event, plan);
            if plan.requests.len() == requests && plan.rejected.len() > refusals {
                plan.refused_by.push((Arc::clone(&self.name), Arc::clone(&mapping.name)));
            }
        }
        if !matched {
            plan.skip(Reason::SkipNoMapping);
        }
    }

    fn map(&self, mapping: &Mapping, event: &Event<'_>, plan: &mut Plan) {
        let action = mapping.action.slug.as_str();
        if action == "postToAccoil" {
            let mut body = Vec::new();
            event.value.write(&mut body);
            let mut request = self.request(mapping, segment::PATH, fallback_user(&event.value), body);
            request.warnings = plan.warn(event.warnings.iter());
            plan.requests.push(request);
            return;
        }
        let mut payload = match mapping.payload(event, self.dialect, self.strict) {
            Ok(payload) => payload,
            Err(violations) => return plan.refuse(&mapping.name, violations),
        };
        payload.warnings.extend(payload.get("mrr").and_then(|mrr| money::fraction(mrr, self.money)));
        let encoded = match self.dialect {
            Dialect::V2 => v2::encode(action, &payload, self.money),
            Dialect::Segment => segment::encode(action, &payload, self.money),
        };
        match encoded {
            EncodeResult::Skipped(why) => plan.skip(why),
            EncodeResult::Refused(violation) => plan.refuse(&mapping.name, vec![violation]),
            EncodeResult::Request { path, body } => {
                let user = user(&payload).unwrap_or_else(|| fallback_user(&event.value));
                let fingerprints =
                    if event.derived { self.fingerprints_of(action, &payload, &body) } else { Vec::new() };
                let mut request = self.request(mapping, path, user, body.finish());
                request.fingerprints = fingerprints;
                request.warnings = plan.warn(event.warnings.iter().chain(&payload.warnings));
                plan.requests.push(request);
            }
        }
    }

    fn request(&self, mapping: &Mapping, path: &'static str, user: String, body: Vec<u8>) -> Request {
        Request {
            destination: Arc::clone(&self.name),
            mapping: Arc::clone(&mapping.name),
            action: &mapping.action.slug,
            path,
            user,
            fingerprints: Vec::new(),
            warnings: String::new(),
            body,
        }
    }

    /// Returns the fingerprints of a derived call. A group call has two: one for the account's traits, the same for
    /// every member, and one for this user's membership.
    fn fingerprints_of(&self, action: &str, payload: &Payload<'_>, body: &Body) -> Vec<Fingerprint> {
        let destination = self.name.as_bytes();
        let id = |key| payload.get(key).and_then(Value::as_str).unwrap_or_default().as_bytes();
        match action {
            "group" => vec![
                Fingerprint::new(&[destination, b"account", id("groupId")], &[body.written_traits()]),
                Fingerprint::new(&[destination, b"member", id("userId"), id("groupId")], &[]),
            ],
            "identify" => vec![Fingerprint::new(&[destination, b"user", id("userId")], &[body.content()])],
            _ => Vec::new(),
        }
    }

    /// Applies `docs/segment.md#the-integrations-object`: a named value blocks if it is falsy; null or absent falls
    /// back to `All`, which blocks only if it is exactly false.
    pub(super) fn is_wanted(&self, event: &Value<'_>) -> bool {
        let Some(integrations) = event.get("integrations") else { return true };
        match integrations.get(&self.integration) {
            None | Some(Value::Null) => integrations.get("All") != Some(&Value::Bool(false)),
            Some(Value::Bool(on)) => *on,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(_) | Value::Object(_)) => true,
        }
    }
}

/// Returns the id of the user or group whose calls stay in order with this one.
fn user(payload: &Payload<'_>) -> Option<String> {
    ["userId", "groupId"].iter().find_map(|key| payload.get(key).and_then(Value::as_str)).map(str::to_owned)
}

/// Returns the user of the event, for calls that name no user.
fn fallback_user(event: &Value<'_>) -> String {
    ["userId", "groupId", "anonymousId", "messageId"]
        .iter()
        .find_map(|key| event.get(key).and_then(Value::as_str))
        .unwrap_or_default()
        .to_owned()
}
