//! A time as people write it in a parameter or an option: exact, a day, or how long ago.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer};

use crate::config;

/// A time from a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub DateTime<Utc>);

/// The text is not a time.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("write 2026-01-31T12:00:00Z, 2026-01-31, or how long ago, such as 30m, 2h or 7d")]
pub struct InvalidMoment;

impl std::str::FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        // A plus sign that was not percent-encoded arrives as a space.
        let text = text.replace(' ', "+");
        if let Ok(time) = DateTime::parse_from_rfc3339(&text) {
            return Ok(Self(time.to_utc()));
        }
        if text == "now" {
            return Ok(Self(Utc::now()));
        }
        let ago = text.strip_prefix('-').unwrap_or(&text);
        if let Some(ago) = config::parse_duration(ago).and_then(|ago| chrono::Duration::from_std(ago).ok()) {
            return Utc::now().checked_sub_signed(ago).map(Self).ok_or(InvalidMoment);
        }
        let midnight = text.parse::<NaiveDate>().ok().and_then(|date| date.and_hms_opt(0, 0, 0));
        midnight.map(|midnight| Self(midnight.and_utc())).ok_or(InvalidMoment)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_days_or_relative() {
        let at = |text: &str| text.parse::<Moment>().map(|moment| moment.0.to_rfc3339()).ok();
        assert_eq!(at("2026-01-31T12:00:00+02:00").as_deref(), Some("2026-01-31T10:00:00+00:00"));
        assert_eq!(at("2026-01-31T12:00:00 02:00").as_deref(), Some("2026-01-31T10:00:00+00:00"));
        assert_eq!(at("2026-01-31").as_deref(), Some("2026-01-31T00:00:00+00:00"));
        let day_ago = "-24h".parse::<Moment>().unwrap().0;
        let ago = Utc::now() - day_ago;
        assert!((86_400..86_410).contains(&ago.num_seconds()), "{ago}");
        for text in ["", "yesterday", "-", "2026-13-01", "99999999999d", "-\u{202e}1h"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
