//! Runs a reject through the present mappings: returns what to send, or why the reject stays.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::accoil::{Plan, Refusal};
use crate::config::Limits;
use crate::decode::{self, Form};
use crate::outbox::{Accepted, Reject, StoredReject, Submission};
use crate::pipeline::{Pipeline, Planned, Source, Sources};

/// The number of characters of the reasons that an error repeats.
const MAX_SHOWN: usize = 500;

/// The sources and mappings that are in force.
pub struct Replayer {
    sources: Arc<Sources>,
    limits: decode::Limits,
}

impl Replayer {
    pub fn new(sources: Arc<Sources>, limits: &Limits) -> Self {
        let event_bytes = limits.amplitude_batch_bytes.max(limits.webhook_bytes);
        Self { sources, limits: decode::Limits { event_bytes, events: 1, depth: limits.json_depth } }
    }

    /// Returns what the reject becomes now, or why it stays.
    pub(super) fn submission(&self, reject: &StoredReject) -> Result<Submission, String> {
        if reject.is_damaged {
            return Err(super::damaged());
        }
        let source = self.sources.named(&reject.source).ok_or("its source is no longer configured")?;
        let form =
            Form::named(&reject.form).ok_or("this version does not know the form that it was posted in")?;
        let original = std::str::from_utf8(&reject.original).map_err(|_| "it is not UTF-8")?;
        let (limits, received_at) = (self.limits, reject.at);
        let pipeline = Pipeline { source, form, limits, received_at, is_text_repaired: false };
        let Planned { item, plan } = pipeline.plan_item(original, reject.envelope.as_deref());
        submission(source, form, reject, item.message_id, plan)
    }
}

/// Uses only the mappings that refused the event before: the others have made their requests.
fn submission(
    source: &Source,
    form: Form,
    reject: &StoredReject,
    message_id: Option<String>,
    plan: Plan,
) -> Result<Submission, String> {
    let refused = refused_by(reject);
    let is_whole = refused.contains("");
    let is_meant = |mapping: &str| is_whole || mapping.is_empty() || refused.contains(mapping);
    let requests: Vec<_> = plan.requests.into_iter().filter(|request| is_meant(&request.mapping)).collect();
    let again: Vec<_> = plan.rejected.into_iter().filter(|refusal| is_meant(&refusal.mapping)).collect();
    if requests.is_empty() {
        return Err(match plan.skipped {
            _ if !again.is_empty() => format!("still refused: {}", describe(&again)),
            Some(why) => format!("nothing would be sent: {why}"),
            None => "nothing would be sent: the mappings that refused it were removed or no longer match it"
                .to_owned(),
        });
    }
    let original = Bytes::from(reject.original.clone());
    let mut rejects = Vec::new();
    if let Some(first) = again.first() {
        rejects.push(Reject {
            event: reject.event,
            original: original.clone(),
            envelope: reject.envelope.as_deref().map(Arc::from),
            reasons: Refusal::to_json(&again),
            code: first.code,
            refused_by: plan.refused_by,
        });
    }
    // If other mappings accepted the event, its id is already stored and must not stop the rest of it.
    let message_id = message_id.filter(|_| is_whole);
    Ok(Submission {
        source: source.name.clone(),
        form,
        received_at: reject.at,
        deduplication_window: source.deduplication_window,
        accepted: vec![Accepted { event: reject.event, original, message_id, requests, warned: plan.warned }],
        rejects,
        passed: Vec::new(),
        envelope: None,
        mappings: 0,
    })
}

fn describe(refusals: &[Refusal]) -> String {
    let one = |refusal: &Refusal| {
        let parts = [&*refusal.mapping, &refusal.field, &refusal.reason];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let text = refusals.iter().map(one).collect::<Vec<_>>().join("; ");
    text.chars().take(MAX_SHOWN).collect()
}

/// Returns the mappings that the reject's reasons name; an empty name means the whole event.
fn refused_by(reject: &StoredReject) -> HashSet<String> {
    let reasons: Vec<serde_json::Value> = serde_json::from_str(&reject.reasons).unwrap_or_default();
    let mapping = |reason: &serde_json::Value| {
        reason.get("mapping").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    reasons.iter().map(mapping).collect()
}
