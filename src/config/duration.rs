//! Reads and prints durations in the configuration: a whole number and a unit, `250ms`, `30s`, `10m`, `1h`, `7d`.

use std::time::Duration;

/// Milliseconds of each unit, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A year: more than anybody needs, and small enough to add to any clock without overflow.
const MAX_MILLISECONDS: u64 = 366 * 86_400_000;

/// `None` for anything but a whole number directly followed by a unit, or for more than a year.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let total = number.parse::<u64>().ok()?.checked_mul(*milliseconds)?;
    (total <= MAX_MILLISECONDS).then_some(Duration::from_millis(total))
}

/// Prints a duration in its largest whole unit. Fractions of a millisecond are dropped.
pub(super) fn print(duration: Duration) -> String {
    let total = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, milliseconds) = UNITS
        .into_iter()
        .find(|(_, milliseconds)| total > 0 && total.is_multiple_of(*milliseconds))
        .unwrap_or(("s", 1_000));
    format!("{}{unit}", total / milliseconds)
}
