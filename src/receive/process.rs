//! A body of a known source, from its text to the outbox: decode, match, map, validate, enqueue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::Receiver;
use super::body::Text;
use super::kept::Keeper;
use super::source::{Counts, Source};
use crate::accoil::{self, Refusal};
use crate::decode::{self, BodyError, Context, Form};
use crate::event::Item;
use crate::event_id::{EventId, NewIds};
use crate::outbox::{AcceptError, Accepted, Reject, Submission};
use crate::reasons::Reason;

/// Bodies above this size are understood on a thread of their own, so that they hold up nobody else's.
const LARGE: usize = 256 * 1024;
/// Rejects told of in an answer.
const MOST_TOLD: usize = 20;
/// Of an unreadable body this much is kept as a reject.
const MOST_KEPT: usize = 32 * 1024;

/// What came of a request's events.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) events: usize,
    /// The ids of the events, in the order of the body.
    pub(super) ids: Option<NewIds>,
    pub(super) accepted: usize,
    pub(super) duplicates: usize,
    pub(super) skipped: usize,
    pub(super) rejected: usize,
    /// The first rejects: the item's place in the body, and why.
    pub(super) reasons: Vec<(usize, Refusal)>,
    /// The first skipped items and why.
    pub(super) skips: Vec<(usize, Reason)>,
    /// The first warnings: the item's place, the mapping, and what was left out or changed.
    pub(super) warnings: Vec<(usize, Arc<str>, String)>,
}

/// Why nothing came of a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessError {
    /// The body is kept as a reject with this event id.
    #[error("{why}")]
    Unreadable { event: EventId, why: Unreadable },
    #[error(transparent)]
    Outbox(#[from] AcceptError),
}

/// Why a body could not be read as a whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the body is not UTF-8 from its byte {at} on; send JSON as UTF-8")]
    NotUtf8 { at: usize },
}

impl Unreadable {
    const fn reason(&self) -> Reason {
        match self {
            Self::Body(BodyError::TooManyEvents { .. }) => Reason::DoorMany,
            Self::Body(_) | Self::NotUtf8 { .. } => Reason::Unreadable,
        }
    }
}

impl ProcessError {
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Unreadable { why, .. } => why.reason(),
            Self::Outbox(AcceptError::Busy) => Reason::DoorBusy,
            Self::Outbox(AcceptError::Full) => Reason::DoorFull,
            Self::Outbox(AcceptError::Failed) => Reason::DoorFailed,
        }
    }
}

/// Takes a body in. Returns after everything in it is on disk, rejects included; a body that cannot be read as
/// a whole is kept as one reject.
pub(super) async fn process(
    receiver: &Receiver,
    source: &Arc<Source>,
    form: Form,
    limits: decode::Limits,
    text: Text,
) -> Result<Tally, ProcessError> {
    let received_at = Utc::now();
    source.counts.bytes.fetch_add(text.bytes().len() as u64, Ordering::Relaxed);
    let understood = if text.bytes().len() > LARGE {
        let (receiver, source, text) = (receiver.clone(), Arc::clone(source), text.clone());
        let ids = move |events| receiver.0.event_ids.reserve(received_at, events);
        tokio::task::spawn_blocking(move || understand(&source, form, limits, &text, received_at, ids))
            .await
            .map_err(|_| AcceptError::Failed)?
    } else {
        let ids = |events| receiver.0.event_ids.reserve(received_at, events);
        understand(source, form, limits, &text, received_at, ids)
    };
    let outbox = &receiver.0.outbox;
    let (submission, mut tally) = match understood {
        Ok(understood) => understood,
        Err(error) => {
            let why = match (error, text.mended_from) {
                (BodyError::Syntax(_), Some(at)) => Unreadable::NotUtf8 { at },
                (error, _) => error.into(),
            };
            let event = receiver.0.event_ids.reserve_one(received_at);
            outbox.accept(unreadable(source, form, &text, received_at, event, &why)).await?;
            source.counts.rejected.fetch_add(1, Ordering::Relaxed);
            source.counts.reasons.add(why.reason(), 1);
            return Err(ProcessError::Unreadable { event, why });
        }
    };
    if !submission.accepted.is_empty() || !submission.rejects.is_empty() {
        let receipt = outbox.accept(submission).await?;
        tally.accepted = receipt.accepted;
        tally.duplicates = receipt.duplicates;
    }
    count(&source.counts, &tally);
    tracing::debug!(
        source.name = &*source.name,
        event.id = tally.ids.clone().and_then(|mut ids| ids.next()).map(tracing::field::display),
        events = tally.events,
        accepted = tally.accepted,
        duplicates = tally.duplicates,
        skipped = tally.skipped,
        rejected = tally.rejected,
        "stored a request's events"
    );
    Ok(tally)
}

fn count(counts: &Counts, tally: &Tally) {
    for (counter, more) in [
        (&counts.accepted, tally.accepted),
        (&counts.duplicates, tally.duplicates),
        (&counts.skipped, tally.skipped),
        (&counts.rejected, tally.rejected),
    ] {
        if more > 0 {
            counter.fetch_add(more as u64, Ordering::Relaxed);
        }
    }
    if tally.duplicates > 0 {
        counts.reasons.add(Reason::Duplicate, tally.duplicates as u64);
    }
}

fn understand(
    source: &Source,
    form: Form,
    limits: decode::Limits,
    text: &Text,
    received_at: DateTime<Utc>,
    ids: impl FnOnce(usize) -> NewIds,
) -> Result<(Submission, Tally), BodyError> {
    let context = Context {
        received_at,
        source: &source.settings,
        limits,
        is_text_repaired: text.mended_from.is_some(),
    };
    let items = decode::decode(form, text.as_str(), context)?;
    let ids = ids(items.len());
    let mut tally = Tally { events: items.len(), ids: Some(ids.clone()), ..Tally::default() };
    let mut envelope = None;
    let keeper = Keeper::new(source.write_key.as_ref(), text.bytes());
    let mut accepted = Vec::with_capacity(items.len());
    let mut rejects = Vec::new();
    let shared = items.shared();
    for ((index, item), event) in items.enumerate().zip(ids) {
        let original = keeper.keep(share(text.bytes(), item.original));
        let Item { message_id, outcome, .. } = item;
        let plan = accoil::plan(&source.destinations, source.kind, outcome);
        trace(source, index, event, &plan);
        if let Some(why) = plan.skipped {
            tally.skipped += 1;
            source.counts.reasons.add(why, 1);
            if tally.skips.len() < MOST_TOLD {
                tally.skips.push((index, why));
            }
        }
        for warning in &plan.warned {
            source.counts.reasons.add(*warning, 1);
        }
        let warned = plan.requests.iter().filter(|request| !request.warnings.is_empty());
        let room = MOST_TOLD.saturating_sub(tally.warnings.len());
        tally.warnings.extend(
            warned.take(room).map(|request| (index, Arc::clone(&request.mapping), request.warnings.clone())),
        );
        if let Some(first) = plan.rejected.first() {
            tally.rejected += 1;
            let (original, reasons) = (original.clone(), Refusal::to_json(&plan.rejected));
            let envelope = envelope.get_or_insert_with(|| shared.to_json().map(Arc::from)).clone();
            rejects.push(Reject { event, original, envelope, reasons });
            source.counts.reasons.add(first.code, 1);
            let room = MOST_TOLD.saturating_sub(tally.reasons.len());
            tally.reasons.extend(plan.rejected.into_iter().take(room).map(|refusal| (index, refusal)));
        }
        if !plan.requests.is_empty() {
            accepted.push(Accepted { event, original, message_id, requests: plan.requests });
        }
    }
    let submission = Submission {
        source: Arc::clone(&source.name),
        form,
        received_at,
        deduplication_window: source.deduplication_window,
        accepted,
        rejects,
        passed: Vec::new(),
        envelope: None,
        mappings: 0,
    };
    Ok((submission, tally))
}

fn trace(source: &Source, index: usize, event: EventId, plan: &accoil::Plan) {
    for request in &plan.requests {
        tracing::trace!(
            source.name = &*source.name,
            event.index = index,
            event.id = %event,
            destination.name = &*request.destination,
            mapping.name = &*request.mapping,
            call.path = request.path,
            call.bytes = request.body.len(),
            "a mapping made a call"
        );
    }
    for refusal in &plan.rejected {
        tracing::trace!(
            source.name = &*source.name,
            event.index = index,
            event.id = %event,
            mapping.name = &*refusal.mapping,
            field = refusal.field,
            reason.code = refusal.code.code(),
            "rejected an event"
        );
    }
    if let Some(why) = plan.skipped {
        tracing::trace!(
            source.name = &*source.name,
            event.index = index,
            event.id = %event,
            reason.code = why.code(),
            "skipped an event"
        );
    }
}

/// A body that is no JSON, or not of its route's shape, is shown to its owner like any other reject.
fn unreadable(
    source: &Source,
    form: Form,
    text: &Text,
    received_at: DateTime<Utc>,
    event: EventId,
    why: &Unreadable,
) -> Submission {
    let kept = text.bytes().slice(..text.bytes().len().min(MOST_KEPT));
    let kept = Keeper::new(source.write_key.as_ref(), &kept).keep(kept.clone());
    let refusal = Refusal {
        mapping: Arc::from(""),
        field: String::new(),
        reason: why.to_string(),
        code: Reason::Unreadable,
    };
    Submission {
        source: Arc::clone(&source.name),
        form,
        received_at,
        deduplication_window: source.deduplication_window,
        accepted: Vec::new(),
        rejects: vec![Reject {
            event,
            original: kept,
            envelope: None,
            reasons: Refusal::to_json(&[refusal]),
        }],
        passed: Vec::new(),
        envelope: None,
        mappings: 0,
    }
}

/// The part of the body as shared bytes: nothing is copied.
fn share(body: &Bytes, part: &str) -> Bytes {
    let start = part.as_ptr().addr().wrapping_sub(body.as_ptr().addr());
    match start.checked_add(part.len()) {
        Some(end) if end <= body.len() => body.slice(start..end),
        _ => Bytes::copy_from_slice(part.as_bytes()),
    }
}
