//! Corrects a sender's clock, by the rules of Segment and of Amplitude.

use chrono::{DateTime, TimeDelta, Utc};

use super::is_plausible;

/// Segment's rule: `received - (sent - original)`. Returns `None` if the result is impossible: then `sent` must be
/// wrong, and the sender's own time is better.
pub fn corrected(
    original: DateTime<Utc>,
    sent: DateTime<Utc>,
    received: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let corrected = received.checked_sub_signed(sent.signed_duration_since(original))?;
    is_plausible(corrected, received).then_some(corrected)
}

/// True if the sender's clock is wrong by a minute or more. Only then does Amplitude correct its times.
pub fn differ(sent: DateTime<Utc>, received: DateTime<Utc>) -> bool {
    received.signed_duration_since(sent).abs() >= TimeDelta::minutes(1)
}
