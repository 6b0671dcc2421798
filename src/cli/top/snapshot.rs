//! What the relay answered, now and a moment ago: the difference gives the rates.

use std::time::Instant;

use serde_json::Value;

/// The answers of one moment.
pub(super) struct Snapshot {
    pub(super) at: Instant,
    /// `GET /api/overview`
    pub(super) overview: Value,
    /// `GET /api/failures`
    pub(super) failures: Value,
}

pub(super) struct Model {
    pub(super) now: Snapshot,
    before: Option<Snapshot>,
    /// Why the relay did not answer last time.
    pub(super) lost: Option<String>,
}

impl Model {
    pub(super) const fn new(now: Snapshot) -> Self {
        Self { now, before: None, lost: None }
    }

    pub(super) fn add(&mut self, snapshot: Snapshot) {
        let before = std::mem::replace(&mut self.now, snapshot);
        // After a restart the counts begin at 0 again.
        self.before = Some(before).filter(|before| before.overview["since"] == self.now.overview["since"]);
        self.lost = None;
    }

    /// Returns a count of the overview.
    pub(super) fn count(&self, pointer: &str) -> u64 {
        count(&self.now.overview, pointer)
    }

    /// Returns how much a count grew in a second; `None` if it is not known yet.
    #[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
    pub(super) fn rate(&self, pointer: &str) -> Option<f64> {
        let before = self.before.as_ref()?;
        let seconds = self.now.at.duration_since(before.at).as_secs_f64();
        let grown = self.count(pointer).saturating_sub(count(&before.overview, pointer));
        (seconds > 0.0).then(|| grown as f64 / seconds)
    }
}

fn count(overview: &Value, pointer: &str) -> u64 {
    overview.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}
