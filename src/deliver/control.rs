//! What an operator wants of a destination: no calls, calls again, or one call now.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::outbox::{ChangeError, Outbox, ReadError};

/// Steers one destination's dispatcher. Clones steer the same one.
#[derive(Debug, Clone)]
pub struct Control(watch::Sender<Wishes>);

/// What is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// No call is made since then, until it is resumed.
    pub(super) paused_since: Option<DateTime<Utc>>,
    /// How often a probe was asked for.
    pub(super) probes: u64,
}

impl Control {
    /// For a destination that is paused since then, or not at all.
    pub fn new(paused_since: Option<DateTime<Utc>>) -> Self {
        Self(watch::Sender::new(Wishes { paused_since, probes: 0 }))
    }

    pub fn pause(&self, since: DateTime<Utc>) {
        self.0.send_modify(|wishes| wishes.paused_since = Some(since));
    }

    pub fn resume(&self) {
        self.0.send_modify(|wishes| wishes.paused_since = None);
    }

    /// One call is made now, although the destination was to be left alone for longer.
    pub fn probe(&self) {
        self.0.send_modify(|wishes| wishes.probes = wishes.probes.wrapping_add(1));
    }

    pub fn paused_since(&self) -> Option<DateTime<Utc>> {
        self.0.borrow().paused_since
    }

    pub(super) fn wishes(&self) -> watch::Receiver<Wishes> {
        self.0.subscribe()
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new(None)
    }
}

/// Before a destination's name, where its pause is kept.
const PAUSE: &str = "pause:";

/// Each destination that was paused when the relay last ran, and since when.
pub async fn kept_pauses(outbox: &Outbox) -> Result<HashMap<String, DateTime<Utc>>, ReadError> {
    let values = outbox.kept_values(PAUSE).await?;
    let one = |(name, at): (String, i64)| {
        Some((name.strip_prefix(PAUSE)?.to_owned(), DateTime::from_timestamp_millis(at)?))
    };
    Ok(values.into_iter().filter_map(one).collect())
}

/// Keeps that a destination is paused since this time, or no longer.
pub async fn keep_pause(
    outbox: &Outbox,
    destination: &str,
    since: Option<DateTime<Utc>>,
) -> Result<(), ChangeError> {
    outbox.keep_value(format!("{PAUSE}{destination}"), since.map(|since| since.timestamp_millis())).await
}
