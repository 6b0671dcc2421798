//! Live views: each viewer gets the events that match its filter, at most twenty lines a second.
//!
//! A slow viewer costs nothing: lines that it does not read are left out, and a tick reports how many.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use super::block::Payload;
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
        viewers.push(Viewer { filter: CompiledFilter::new(filter, hashed), sender, tick: Tick::default() });
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

    /// Sends an event to the viewers whose filter it matches.
    pub(super) fn show(&self, line: &Line, payload: Option<&Payload>, redactor: &Redactor) {
        let mut viewers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for viewer in viewers.iter_mut().filter(|viewer| viewer.concerns(line, payload, redactor)) {
            viewer.tick.matched += 1;
            if viewer.tick.shown < MAX_LINES
                && viewer.sender.try_send(ViewerMessage::Line(Box::new(line.clone()))).is_ok()
            {
                viewer.tick.shown += 1;
            }
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
    fn concerns(&self, line: &Line, payload: Option<&Payload>, redactor: &Redactor) -> bool {
        if !self.filter.fits_whole(line) {
            return false;
        }
        let Some(text) = self.filter.filter.text.as_deref() else { return true };
        // Hidden values must not be found either.
        self.filter.has_text(line) || payload.is_some_and(|payload| redactor.shows(payload, text))
    }
}
