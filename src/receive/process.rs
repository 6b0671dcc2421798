//! A body of a known source, from its text to the outbox: plans its events and stores them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use chrono::Utc;

use super::Receiver;
use super::body::Text;
use crate::accoil::{Plan, Refusal};
use crate::decode::{self, BodyError, Form};
use crate::event_id::{EventId, NewIds};
use crate::outbox::{AcceptError, Submission};
use crate::pipeline::{self, Collector, Pipeline, Source};
use crate::reasons::Reason;

/// Bodies above this size are planned on a blocking thread, so that they delay no other request.
const LARGE_BODY: usize = 256 * 1024;
/// Rejects, skipped events and warnings that an answer lists.
const MAX_REPORTED: usize = 20;
/// The reject of an unreadable body keeps this much of it.
const MAX_UNREADABLE: usize = 32 * 1024;

/// The results of a request's events.
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
    /// The first skipped items, with the reasons.
    pub(super) skips: Vec<(usize, Reason)>,
    /// The first warnings: the item's place, the mapping, and what was left out or changed.
    pub(super) warnings: Vec<(usize, Arc<str>, String)>,
}

impl Tally {
    /// Adds the result of the item at this place of the body.
    fn note(&mut self, index: usize, plan: &Plan) {
        if let Some(why) = plan.skipped {
            self.skipped += 1;
            if self.skips.len() < MAX_REPORTED {
                self.skips.push((index, why));
            }
        }
        if !plan.rejected.is_empty() {
            self.rejected += 1;
            let room = MAX_REPORTED.saturating_sub(self.reasons.len());
            self.reasons.extend(plan.rejected.iter().take(room).map(|refusal| (index, refusal.clone())));
        }
        let warned = plan.requests.iter().filter(|request| !request.warnings.is_empty());
        let room = MAX_REPORTED.saturating_sub(self.warnings.len());
        self.warnings.extend(
            warned.take(room).map(|request| (index, Arc::clone(&request.mapping), request.warnings.clone())),
        );
    }
}

/// Why none of a request's events was accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessError {
    /// The body is kept as a reject with this event id.
    #[error("{why}")]
    Unreadable { event: EventId, why: UnreadableBody },
    #[error(transparent)]
    Outbox(#[from] AcceptError),
}

/// Why a body could not be read as a whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnreadableBody {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the body is not UTF-8 from its byte {at} on; send JSON as UTF-8")]
    NotUtf8 { at: usize },
}

impl UnreadableBody {
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
            Self::Outbox(AcceptError::Away) => Reason::DoorAway,
            Self::Outbox(AcceptError::TooLarge) => Reason::DoorLarge,
        }
    }
}

/// Stores the events of a body. Returns after everything is on disk, including rejects. A body that cannot be read at
/// all is kept as one reject.
pub(super) async fn process(
    receiver: &Receiver,
    source: &Arc<Source>,
    form: Form,
    limits: decode::Limits,
    text: Text,
) -> Result<Tally, ProcessError> {
    let received_at = Utc::now();
    source.counts.bytes.fetch_add(text.bytes().len() as u64, Ordering::Relaxed);
    let is_text_repaired = text.first_invalid_utf8.is_some();
    let planned = if text.bytes().len() > LARGE_BODY {
        let (receiver, source, text) = (receiver.clone(), Arc::clone(source), text.clone());
        let plan = move || {
            let pipeline = Pipeline { source: &source, form, limits, received_at, is_text_repaired };
            plan(&receiver, &pipeline, &text)
        };
        tokio::task::spawn_blocking(plan).await.map_err(|_| AcceptError::Failed)?
    } else {
        let pipeline = Pipeline { source, form, limits, received_at, is_text_repaired };
        plan(receiver, &pipeline, &text)
    };
    let outbox = &receiver.0.outbox;
    let (submission, mut tally) = match planned {
        Ok(planned) => planned,
        Err(error) => {
            let why = match (error, text.first_invalid_utf8) {
                (BodyError::Syntax(_), Some(at)) => UnreadableBody::NotUtf8 { at },
                (error, _) => error.into(),
            };
            let pipeline = Pipeline { source, form, limits, received_at, is_text_repaired };
            let event = receiver.0.event_ids.reserve_one(received_at);
            outbox.accept(unreadable(&pipeline, text.bytes(), event, &why)).await?;
            return Err(ProcessError::Unreadable { event, why });
        }
    };
    let receipt = outbox.accept(submission).await?;
    tally.accepted = receipt.accepted;
    tally.duplicates = receipt.duplicates;
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

/// Plans every item of the body.
fn plan(receiver: &Receiver, pipeline: &Pipeline<'_>, text: &Text) -> Result<(Submission, Tally), BodyError> {
    let items = pipeline.plan_body(text.as_str())?;
    let ids = receiver.0.event_ids.reserve(pipeline.received_at, items.len());
    let mut tally = Tally { events: items.len(), ids: Some(ids.clone()), ..Tally::default() };
    let mut collector = Collector::new(pipeline, text.bytes(), &items, receiver.facts().is_on());
    for ((index, planned), event) in items.enumerate().zip(ids) {
        tally.note(index, &planned.plan);
        collector.add(event, planned);
    }
    Ok((collector.finish(), tally))
}

/// Returns the beginning of an unreadable body as a reject, so that its owner can see it.
fn unreadable(pipeline: &Pipeline<'_>, body: &Bytes, event: EventId, why: &UnreadableBody) -> Submission {
    let refusal =
        Refusal { mapping: Arc::from(""), field: String::new(), reason: why.to_string(), code: why.reason() };
    pipeline::unreadable(pipeline, &body.slice(..body.len().min(MAX_UNREADABLE)), event, refusal)
}
