//! Live views: each viewer gets the events that match its filter, at most twenty lines a second.
//!
//! A slow viewer costs nothing: lines that it does not read are left out, and a tick reports how many.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use super::buffer::BufferedEvent;
use super::line::Line;
use super::reader::{CompiledFilter, Filter};
use super::redact::Redactor;

/// The most live views at a time.
const MAX_VIEWERS: usize = 16;
/// The most lines per second for a viewer.
const MAX_LINES: u64 = 20;
/// The lines and ticks that a viewer may leave unread.
const MAX_UNREAD: usize = 64;

/// The number of live views has reached its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_VIEWERS} live views are open, which is the most; close one and try again")]
pub struct TooMany;

/// A message to a viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewerMessage {
    /// An event that is new, or that has changed since it was shown. A changed event has the same id as before.
    Line(Box<Line>),
    Tick(Tick),
}

/// The counts of about one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tick {
    /// All events received, whether they match the filter or not.
    pub received: u64,
    /// Lines that match the filter.
    pub matched: u64,
    /// Lines that were sent; the other matches were left out.
    pub shown: u64,
}

/// A live view. Dropping it closes it.
#[derive(Debug)]
pub struct Live(mpsc::Receiver<ViewerMessage>);

impl Live {
    /// Returns `None` when the relay stops.
    pub async fn next(&mut self) -> Option<ViewerMessage> {
        self.0.recv().await
    }
}

/// All viewers.
#[derive(Debug, Default)]
pub(super) struct Viewers(Mutex<Vec<Viewer>>);

#[derive(Debug)]
struct Viewer {
    filter: CompiledFilter,
    /// Whether the filter has no condition.
    takes_all: bool,
    sender: mpsc::Sender<ViewerMessage>,
    tick: Tick,
}

impl Viewers {
    pub(super) fn subscribe(&self, filter: Filter, hashed: impl Fn(&str) -> String) -> Result<Live, TooMany> {
        let mut viewers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        viewers.retain(|viewer| !viewer.sender.is_closed());
        if viewers.len() >= MAX_VIEWERS {
            return Err(TooMany);
        }
        let (sender, receiver) = mpsc::channel(MAX_UNREAD);
        let takes_all = filter == Filter::default();
        let filter = CompiledFilter::new(filter, hashed);
        viewers.push(Viewer { filter, takes_all, sender, tick: Tick::default() });
        Ok(Live(receiver))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(super) fn count(&self) -> usize {
        let mut viewers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        viewers.retain(|viewer| !viewer.sender.is_closed());
        viewers.len()
    }

    /// Sends events to the viewers whose filter they match.
    pub(super) fn show<'e>(&self, events: impl Iterator<Item = &'e BufferedEvent>, redactor: &Redactor) {
        let mut viewers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            viewers.iter_mut().for_each(|viewer| viewer.show(event, redactor));
        }
    }

    /// Sends the counts of the last second. If a viewer's buffer is full, its counts are added to those of its next tick.
    pub(super) fn tick(&self, received: u64) {
        let mut viewers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for viewer in viewers.iter_mut() {
            viewer.tick.received += received;
            if viewer.sender.try_send(ViewerMessage::Tick(viewer.tick)).is_ok() {
                viewer.tick = Tick::default();
            } else {
                viewer.tick.shown = MAX_LINES.min(viewer.tick.shown);
            }
        }
        viewers.retain(|viewer| !viewer.sender.is_closed());
    }
}

impl Viewer {
    /// Counts the event if it matches the filter. Only what is sent is copied.
    fn show(&mut self, event: &BufferedEvent, redactor: &Redactor) {
        if !self.takes_all && !self.concerns(event, redactor) {
            return;
        }
        self.tick.matched += 1;
        if self.tick.shown < MAX_LINES
            && self.sender.try_send(ViewerMessage::Line(Box::new(event.line.clone()))).is_ok()
        {
            self.tick.shown += 1;
        }
    }

    fn concerns(&self, event: &BufferedEvent, redactor: &Redactor) -> bool {
        if !self.filter.fits_whole(&event.line) {
            return false;
        }
        let Some(text) = self.filter.filter.text.as_deref() else { return true };
        // Hidden values must not be found either.
        self.filter.has_text(&event.line)
            || event.payload.as_ref().is_some_and(|payload| redactor.shows(payload, text))
    }
}
