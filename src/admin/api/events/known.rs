//! What the relay knows of one event. The outbox is the authority on waiting calls and failures; the history knows every
//! other event.

use crate::admin::Admin;
use crate::admin::error::ApiError;
use crate::event_id::EventId;
use crate::history::{self, Outcome, Reader, Show};
use crate::outbox::{DeadLetter, Filter, Outbox, StoredReject, WaitingCall, WaitingFilter};

/// Rejects and dead letters of one event.
const MAX_KEPT: usize = 100;
/// Waiting calls of one event.
const MAX_WAITING: usize = 100;

/// What the outbox and the history know of one event.
pub(in crate::admin) struct KnownEvent {
    /// `None` if the history does not have the event, or is off.
    pub(super) history: Option<history::Event>,
    pub(super) rejects: Vec<StoredReject>,
    pub(super) letters: Vec<DeadLetter>,
    pub(super) waiting: Vec<WaitingCall>,
}

impl KnownEvent {
    pub(super) async fn load(admin: &Admin, id: EventId, show: Show) -> Result<Self, ApiError> {
        let (reader, outbox) = (admin.history().clone(), admin.outbox().clone());
        // The reads below must see everything that was settled so far.
        admin.outbox().flush().await?;
        tokio::task::spawn_blocking(move || read(&reader, &outbox, id, show))
            .await
            .map_err(|_| ApiError::failed())?
    }

    pub(super) fn is_known(&self) -> bool {
        self.history.is_some()
            || !self.rejects.is_empty()
            || !self.letters.is_empty()
            || !self.waiting.is_empty()
    }
}

fn read(reader: &Reader, outbox: &Outbox, id: EventId, show: Show) -> Result<KnownEvent, ApiError> {
    let history = if reader.is_on() {
        reader.event(id, show).map_err(|error| super::history_failed(&error))?
    } else {
        None
    };
    let archive = outbox.archive().map_err(|error| ApiError::outbox(&error))?;
    let filter = Filter { event: Some(id.to_string()), ..Filter::default() };
    let mut rejects = archive.newest_rejects(&filter, i64::MAX, MAX_KEPT)?;
    let mut letters = archive.newest_dead_letters(&filter, i64::MAX, MAX_KEPT)?;
    // An event's name may look like an id.
    rejects.retain(|reject| reject.event == id);
    letters.retain(|letter| letter.event == id);
    let waiting = if history.as_ref().is_some_and(is_settled) {
        // A search of all waiting calls would find nothing, at the cost of reading them.
        Vec::new()
    } else {
        let filter = WaitingFilter { event: Some(id.to_string()), ..WaitingFilter::default() };
        archive.waiting(&filter, None, MAX_WAITING)?.calls
    };
    Ok(KnownEvent { history, rejects, letters, waiting })
}

/// Returns whether, according to the history, every call of the event is finished.
fn is_settled(event: &history::Event) -> bool {
    event.records.iter().all(|record| {
        let line = &record.line;
        line.is_duplicate
            || (0..line.shape.calls.len()).all(|call| {
                line.last_attempt(call)
                    .is_some_and(|last| matches!(last.ending.outcome, Outcome::Delivered | Outcome::Held))
            })
    })
}
