//! The state of the history thread that readers share: the events in memory, the slots that are being filled, the counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::facts::LeftOutCounts;
use crate::history::State;
use crate::history::buffer::Buffer;
use crate::history::live::Viewers;
use crate::history::series::Series;

/// The state that readers share with the thread.
#[derive(Debug)]
pub(in crate::history) struct Shared {
    buffer: Mutex<Buffer>,
    series: Mutex<Series>,
    /// Why nothing is recorded at the moment, if so.
    pub(super) paused: Mutex<Option<String>>,
    pub(super) left_out: Mutex<LeftOutCounts>,
    /// Events that came while the file could not be written.
    pub(super) not_recorded: AtomicU64,
    /// Events received since the start.
    pub(in crate::history) received: AtomicU64,
    pub(in crate::history) live: Viewers,
    max_bytes: u64,
    pub(super) user_key: [u8; 16],
}

impl Shared {
    pub(in crate::history) fn new(buffer: Buffer, max_bytes: u64, user_key: [u8; 16]) -> Self {
        Self {
            buffer: Mutex::new(buffer),
            series: Mutex::default(),
            paused: Mutex::default(),
            left_out: Mutex::default(),
            not_recorded: AtomicU64::new(0),
            received: AtomicU64::new(0),
            live: Viewers::default(),
            max_bytes,
            user_key,
        }
    }

    pub(in crate::history) fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::history) fn series(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::history) fn hashed(&self, user: &str) -> String {
        crate::history::hashed(&self.user_key, user)
    }

    /// Returns why nothing is recorded at the moment, if so.
    pub(in crate::history) fn paused(&self) -> Option<String> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds the values that only this process knows.
    pub(in crate::history) fn complete(&self, state: &mut State) {
        let buffer = self.buffer();
        // The block in the buffer may have been saved to the file already.
        let saved = state.newest.as_ref().filter(|(block, ..)| *block >= buffer.block);
        let (events, payloads) = saved.map_or((0, 0), |(_, events, payloads)| (*events, *payloads));
        let kept = buffer.events.iter().filter(|buffered| buffered.payload.is_some()).count();
        state.events = state.events.saturating_sub(events) + buffer.events.len() as u64;
        state.payloads = state.payloads.saturating_sub(payloads) + kept as u64;
        if state.since.is_none() {
            state.since = buffer.events.front().map(|buffered| buffered.line.at());
        }
        drop(buffer);
        state.max_bytes = self.max_bytes;
        state.left_out = *self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        state.not_recorded = self.not_recorded.load(Ordering::Relaxed);
        state.paused = self.paused();
        state.viewers = self.live.count();
    }
}
