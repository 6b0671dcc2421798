//! What an operator wants of a destination: no calls, calls again, or one call now.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::outbox::{ChangeError, Outbox, ReadError};

/// Controls one destination's dispatcher. Clones control the same one.
#[derive(Debug, Clone)]
pub struct Control(watch::Sender<OperatorWishes>);

/// The operator's present wishes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OperatorWishes {
    /// Since this time no calls are made, until the destination is resumed.
    pub(super) paused_since: Option<DateTime<Utc>>,
    /// The number of probes asked for so far.
    pub(super) probes: u64,
}

impl Control {
    /// Returns the control of a destination that is paused since this time, or not paused.
    pub fn new(paused_since: Option<DateTime<Utc>>) -> Self {
        Self(watch::Sender::new(OperatorWishes { paused_since, probes: 0 }))
    }

    pub fn pause(&self, since: DateTime<Utc>) {
        self.0.send_modify(|wishes| wishes.paused_since = Some(since));
    }

    pub fn resume(&self) {
        self.0.send_modify(|wishes| wishes.paused_since = None);
    }

    /// Makes one call now, even if the destination would be left alone for longer.
    pub fn probe(&self) {
        self.0.send_modify(|wishes| wishes.probes = wishes.probes.wrapping_add(1));
    }

    pub fn paused_since(&self) -> Option<DateTime<Utc>> {
        self.0.borrow().paused_since
    }

    pub(super) fn wishes(&self) -> watch::Receiver<OperatorWishes> {
        self.0.subscribe()
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new(None)
    }
}

/// The prefix of the names under which pauses are stored.
const PAUSE: &str = "pause:";

/// Returns each destination that was paused when the relay last ran, with the time of the pause.
pub async fn kept_pauses(outbox: &Outbox) -> Result<HashMap<String, DateTime<Utc>>, ReadError> {
    let values = outbox.kept_values(PAUSE).await?;
    let one = |(name, at): (String, i64)| {
        Some((name.strip_prefix(PAUSE)?.to_owned(), DateTime::from_timestamp_millis(at)?))
    };
    Ok(values.into_iter().filter_map(one).collect())
}

/// Stores that a destination is paused since this time, or no longer.
pub async fn keep_pause(
    outbox: &Outbox,
    destination: &str,
    since: Option<DateTime<Utc>>,
) -> Result<(), ChangeError> {
    outbox.keep_value(format!("{PAUSE}{destination}"), since.map(|since| since.timestamp_millis())).await
}
