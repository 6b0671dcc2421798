//! What a past event becomes when it is replayed: the calls as they were, or what the mappings in force make of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{ReplayPlanner, ReplayResult, call, describe, submission};
use crate::accoil::{self, Plan, Refusal, Request};
use crate::decode::Form;
use crate::history::{self, Line, Outcome, Payload, Status};
use crate::mapping::Action;
use crate::outbox::{Accepted, Reject, Submission};
use crate::pipeline::Pipeline;
use crate::replay::How;
use crate::replay::past::{Missing, Past};

impl Missing {
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::NotKept => "what would be sent is not kept: see payload_rate and payloads in [history]",
            Self::Redacted => "its hidden values were not stored: see payloads in [history]",
            Self::Gone => "it left the history after it was counted",
        }
    }
}

impl Past {
    /// Returns its calls, or why it had none; null if that is not known.
    pub(super) fn to_json(&self) -> Value {
        let Some(line) = &self.line else { return Value::Null };
        if line.status() == Status::Skipped {
            return json!({ "skipped": line.shape.skipped });
        }
        let bodies = self.payload.as_ref().map(|payload| &payload.bodies[..]).unwrap_or_default();
        let calls = line.shape.calls.iter().zip(bodies);
        calls.map(|(one, body)| call(&one.mapping, &one.path, body.as_bytes())).collect()
    }

    pub(super) fn destinations(&self) -> Vec<String> {
        let calls = self.line.iter().flat_map(|line| &line.shape.calls);
        calls.map(|call| call.destination.to_string()).collect()
    }

    fn submission(&self, form: Form, requests: Vec<Request>, mappings: u64) -> Submission {
        let original = self.payload.as_ref().map(|payload| payload.original.as_bytes()).unwrap_or_default();
        let original = Bytes::copy_from_slice(original);
        let (event, message_id, warned, title) = (self.id, None, Vec::new(), None);
        Submission {
            source: Arc::clone(&self.source),
            form,
            received_at: self.at,
            deduplication_window: Duration::ZERO,
            accepted: vec![Accepted { event, original, message_id, requests, warned, title }],
            rejects: Vec::new(),
            skipped: Vec::new(),
            envelope: self.payload.as_ref().ok().and_then(|payload| payload.envelope.clone()),
            mappings,
        }
    }
}

impl ReplayPlanner {
    pub(super) fn make_past(&self, past: &Past, how: How) -> ReplayResult {
        let payload = match &past.payload {
            Ok(payload) => payload,
            Err(Missing::Gone) => return ReplayResult::Gone(Missing::Gone.describe().to_owned()),
            Err(missing) => return ReplayResult::Missing(*missing),
        };
        let Some(form) = Form::named(&past.form) else {
            return ReplayResult::Gone(
                "this version does not know the form that it was posted in".to_owned(),
            );
        };
        match how {
            How::AsSent => self.past_as_sent(past, payload, form),
            How::Mappings => self.past_by_mappings(past, payload, form),
        }
    }

    fn is_wanted(&self, mapping: &str) -> bool {
        self.mappings.is_empty() || self.mappings.contains(mapping)
    }

    /// The calls that were delivered. One that was held had nothing new to say.
    fn past_as_sent(&self, past: &Past, payload: &Payload, form: Form) -> ReplayResult {
        let Some(line) = &past.line else { return ReplayResult::Missing(Missing::NotKept) };
        let calls = &line.shape.calls;
        if calls.len() != payload.bodies.len() {
            return ReplayResult::Missing(Missing::NotKept);
        }
        let mut requests = Vec::new();
        for (index, (call, body)) in calls.iter().zip(&payload.bodies).enumerate() {
            if !was_delivered(line, index) || !self.is_wanted(&call.mapping) {
                continue;
            }
            if !self.has_destination(&call.destination) {
                return ReplayResult::Gone("its destination is no longer configured".to_owned());
            }
            let Some(request) = request(call, body, line) else {
                return ReplayResult::Gone("this version does not make such a call".to_owned());
            };
            requests.push(request);
        }
        if requests.is_empty() {
            return ReplayResult::Refused("no call of it was delivered".to_owned());
        }
        let submission = past.submission(form, requests, line.shape.mappings);
        ReplayResult::New { submission: Box::new(submission), is_same: true }
    }

    fn past_by_mappings(&self, past: &Past, payload: &Payload, form: Form) -> ReplayResult {
        let Some(source) = self.sources.named(&past.source) else {
            return ReplayResult::Gone("its source is no longer configured".to_owned());
        };
        let (limits, received_at) = (self.limits, past.at);
        let pipeline = Pipeline { source, form, limits, received_at, is_text_repaired: false };
        let mut plan = pipeline.plan_item(&payload.original, payload.envelope.as_deref()).plan;
        plan.requests.retain(|request| self.is_wanted(&request.mapping));
        plan.rejected.retain(|refusal| refusal.mapping.is_empty() || self.is_wanted(&refusal.mapping));
        if plan.requests.is_empty() {
            return match plan.skipped {
                _ if !plan.rejected.is_empty() => {
                    ReplayResult::Refused(format!("refused: {}", describe(&plan.rejected)))
                }
                Some(why) => ReplayResult::Refused(format!("nothing would be sent: {why}")),
                None => ReplayResult::Gone("none of these mappings matches it".to_owned()),
            };
        }
        let is_same = past.line.as_ref().is_some_and(|line| is_same(line, payload, &plan.requests));
        // What a mapping refused before is kept as a reject since then.
        let was_refused = past.line.as_ref().is_some_and(Line::is_partly_rejected);
        let Plan { requests, rejected, refused_by, warned, .. } = plan;
        let mut submission = submission(source, form, past.id, Vec::new(), Vec::new());
        let original = Bytes::copy_from_slice(payload.original.as_bytes());
        if let Some(first) = rejected.first().filter(|_| !was_refused) {
            submission.rejects.push(Reject {
                event: past.id,
                original: original.clone(),
                envelope: payload.envelope.clone(),
                reasons: Refusal::to_json(&rejected),
                code: first.code,
                refused_by,
            });
        }
        // The event's message id was remembered when it came, and must not make it a duplicate now.
        let (event, message_id, title) = (past.id, None, None);
        submission.accepted.push(Accepted { event, original, message_id, requests, warned, title });
        submission.received_at = past.at;
        submission.envelope.clone_from(&payload.envelope);
        ReplayResult::New { submission: Box::new(submission), is_same }
    }
}

fn was_delivered(line: &Line, call: usize) -> bool {
    let mut attempts = line.attempts.iter().filter(|attempt| usize::from(attempt.call) == call);
    attempts.any(|attempt| attempt.ending.outcome == Outcome::Delivered)
}

fn request(call: &history::Call, body: &str, line: &Line) -> Option<Request> {
    Some(Request {
        destination: Arc::clone(&call.destination),
        mapping: Arc::clone(&call.mapping),
        action: &Action::find(&call.action)?.slug,
        path: accoil::path_named(&call.path)?,
        user: user_of(body).unwrap_or_else(|| line.user().to_owned()),
        // A derived call is sent again even if nothing is new.
        fingerprints: Vec::new(),
        warnings: call.warnings.clone(),
        body: body.as_bytes().to_vec(),
    })
}

/// The line may have a hash instead of the user id.
fn user_of(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let ids = ["userId", "groupId", "anonymousId", "messageId"];
    ids.iter().find_map(|id| body.get(id).and_then(Value::as_str)).map(str::to_owned)
}

/// Whether the calls are those of the event's line.
fn is_same(line: &Line, payload: &Payload, requests: &[Request]) -> bool {
    let calls = &line.shape.calls;
    calls.len() == requests.len()
        && payload.bodies.len() == requests.len()
        && calls.iter().zip(&payload.bodies).zip(requests).all(|((call, body), request)| {
            call.destination == request.destination
                && call.mapping == request.mapping
                && *call.path == *request.path
                && body.as_bytes() == request.body
        })
}
