//! Runs one received item through all the destinations of its source.

use std::sync::Arc;

use serde::Serialize;

use super::{Destination, Request};
use crate::event::{DecodeResult, SourceKind, Violation};
use crate::reasons::Reason;

/// The result of decode, match, map and validate for one item. Everything is empty only for an item without events.
#[derive(Debug, Default)]
pub struct Plan {
    /// In the order in which they must be sent.
    pub requests: Vec<Request>,
    pub rejected: Vec<Refusal>,
    /// The destinations and mappings that refused the event and made no request.
    pub refused_by: Vec<(Arc<str>, Arc<str>)>,
    /// Why there is nothing to send; set only if no request was made and nothing was refused.
    pub skipped: Option<Reason>,
    /// What was left out, replaced or converted in the requests, for counting; usually empty.
    pub warned: Vec<Reason>,
}

/// One reason why one mapping, or all of them, refused the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Empty if the event could not be read at all.
    pub mapping: Arc<str>,
    pub field: String,
    pub reason: String,
    /// The reason code for counting and looking up.
    #[serde(skip)]
    pub code: Reason,
}

impl Refusal {
    /// Returns the form that is stored with a reject: `[{"mapping","field","reason","code"}]`.
    pub fn to_json(refusals: &[Self]) -> String {
        #[derive(Serialize)]
        struct Kept<'r> {
            #[serde(flatten)]
            refusal: &'r Refusal,
            code: Reason,
        }
        let kept: Vec<_> = refusals.iter().map(|refusal| Kept { refusal, code: refusal.code }).collect();
        // This cannot fail, because all values are text.
        serde_json::to_string(&kept).unwrap_or_default()
    }
}

/// Runs one decoded item through the destinations of its source.
pub fn plan<D: AsRef<Destination>>(destinations: &[D], kind: SourceKind, decoded: &DecodeResult<'_>) -> Plan {
    let mut plan = Plan::default();
    match decoded {
        DecodeResult::Skipped(why) => plan.skip(*why),
        DecodeResult::Rejected(violation) => plan.refuse(&Arc::from(""), vec![violation.clone()]),
        DecodeResult::Events(events) => {
            for event in events {
                for destination in destinations {
                    destination.as_ref().handle(kind, event, &mut plan);
                }
            }
        }
    }
    if !plan.requests.is_empty() || !plan.rejected.is_empty() {
        plan.skipped = None;
    }
    plan
}

impl Plan {
    pub(super) fn skip(&mut self, why: Reason) {
        self.skipped = Some(why);
    }

    /// Counts the warnings of a request and returns them as text for a person.
    pub(super) fn warn<'w>(&mut self, warnings: impl Iterator<Item = &'w Violation>) -> String {
        let mut text = String::new();
        for warning in warnings {
            self.warned.push(warning.code);
            let separator = if text.is_empty() { "" } else { "; " };
            text.extend([separator, &warning.field, " ", &warning.reason]);
        }
        text
    }

    pub(super) fn refuse(&mut self, mapping: &Arc<str>, violations: Vec<Violation>) {
        self.rejected.extend(violations.into_iter().map(|violation| Refusal {
            mapping: Arc::clone(mapping),
            field: violation.field,
            reason: violation.reason,
            code: violation.code,
        }));
    }
}
