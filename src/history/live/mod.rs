//! Watching events as they come: each viewer gets what its filter holds for, twenty lines a second at most.
//!
//! A viewer that is slow or leaves costs nothing: its lines are left out, and it is told how many.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use super::block::Payload;
use super::line::Line;
use super::reader::{Compiled, Filter};
use super::redact::Redactor;

/// At most so many watch at a time.
const MAX_VIEWERS: usize = 16;
/// Lines a second that a viewer gets.
const MAX_LINES: u64 = 20;
/// What a viewer may leave unread: lines and ticks.
const MAX_UNREAD: usize = 64;

/// There are as many viewers as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_VIEWERS} live views are open, which is the most; close one and try again")]
pub struct TooMany;

/// What a viewer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// An event that is new, or of which more is known now: it has the id of the earlier line then.
    Line(Box<Line>),
    Tick(Tick),
}

/// What was seen in about a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tick {
    /// Events received, whatever the filter.
    pub received: u64,
    /// Lines for which the filter holds.
    pub matched: u64,
    /// Lines that were sent; the others were left out.
    pub shown: u64,
}

/// A live view. Leaving it is dropping it.
#[derive(Debug)]
pub struct Live(mpsc::Receiver<Seen>);

impl Live {
    /// None when the relay stops.
    pub async fn next(&mut self) -> Option<Seen> {
        self.0.recv().await
    }
}

/// All viewers.
#[derive(Debug, Default)]
pub(super) struct Viewers(Mutex<Vec<Viewer>>);

#[derive(Debug)]
struct Viewer {
    filter: Compiled,
    sender: mpsc::Sender<Seen>,
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
        viewers.push(Viewer { filter: Compiled::new(filter, hashed), sender, tick: Tick::default() });
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

    /// Shows an event to whom it concerns.
    pub(super) fn show(&self, line: &Line, payload: Option<&Payload>, redactor: &Redactor) {
        let mut viewers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for viewer in viewers.iter_mut().filter(|viewer| viewer.concerns(line, payload, redactor)) {
            viewer.tick.matched += 1;
            if viewer.tick.shown < MAX_LINES
                && viewer.sender.try_send(Seen::Line(Box::new(line.clone()))).is_ok()
            {
                viewer.tick.shown += 1;
            }
        }
    }

    /// Once a second. A viewer that has not read its last ticks gets this one's counts with the next.
    pub(super) fn tick(&self, received: u64) {
        let mut viewers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for viewer in viewers.iter_mut() {
            viewer.tick.received += received;
            if viewer.sender.try_send(Seen::Tick(viewer.tick)).is_ok() {
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
        // What is hidden is not found either.
        self.filter.has_text(line) || payload.is_some_and(|payload| redactor.shows(payload, text))
    }
}
