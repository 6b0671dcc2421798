//! Reads `Retry-After` in every form that servers send: seconds, HTTP's three date formats, Unix times.
//!
//! The result is rounded up to whole seconds and is never more than an hour.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

use super::connection::Answer;

/// A longer request counts as this.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);
/// Numbers in this range are times: 2001 to 2286.
const UNIX_SECONDS: Range<f64> = 1e9..1e10;
const UNIX_MILLISECONDS: Range<f64> = 1e12..1e13;

/// Returns how long an answer asks to wait. A time is compared with the answer's own clock, its `Date`.
pub fn retry_after(answer: &Answer) -> Option<Duration> {
    read(&answer.headers)
}

/// Returns how long headers ask to wait.
pub fn read(headers: &HeaderMap) -> Option<Duration> {
    read_at(headers, Utc::now())
}

fn read_at(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim_matches([' ', '\t', '"']);
    let clock = || {
        let sent = headers.get(DATE).and_then(|value| date(value.to_str().ok()?.trim()));
        seconds_of(sent.unwrap_or(now))
    };
    let wait = match number(value) {
        Some(number) if UNIX_SECONDS.contains(&number) => number - clock(),
        Some(number) if UNIX_MILLISECONDS.contains(&number) => number / 1e3 - clock(),
        Some(number) => number,
        None => seconds_of(date(value)?) - clock(),
    };
    Some(Duration::try_from_secs_f64(wait.clamp(0.0, MAX_WAIT.as_secs_f64()).ceil()).unwrap_or(MAX_WAIT))
}

/// Reads digits with at most one point. Text with a sign is not a wait: a negative number asks for nothing.
fn number(text: &str) -> Option<f64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let is_usual = text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|character| character.is_ascii_digit() || character == '.');
    if is_usual { text.parse().ok() } else { None }
}

/// Reads IMF-fixdate, RFC 850 and asctime, and also RFC 2822 with an offset and ISO 8601, which no standard allows
/// here.
fn date(text: &str) -> Option<DateTime<Utc>> {
    httpdate::parse_http_date(text).ok().map(<DateTime<Utc> as From<SystemTime>>::from).or_else(|| {
        let with_offset = DateTime::parse_from_rfc2822(text).or_else(|_| DateTime::parse_from_rfc3339(text));
        with_offset.ok().map(|at| at.with_timezone(&Utc))
    })
}

fn seconds_of(at: DateTime<Utc>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this era fit a double exactly")]
    let milliseconds = at.timestamp_millis() as f64;
    milliseconds / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2023-11-14 22:13:20.
    const NOW: i64 = 1_700_000_000;

    #[test]
    fn every_form_is_read() {
        let long = MAX_WAIT.as_secs();
        for (value, date, expected) in [
            ("120", None, Some(120)),
            ("  120 ", None, Some(120)),
            ("0120", None, Some(120)),
            ("\"120\"", None, Some(120)),
            ("+5", None, Some(5)),
            ("0", None, Some(0)),
            ("1.5", None, Some(2)),
            ("0.001", None, Some(1)),
            ("7200", None, Some(long)),
            ("999999999", None, Some(long)),
            ("99999999999999999999999", None, Some(long)),
            ("1700000030", None, Some(30)),
            ("1700000030.2", None, Some(31)),
            ("1700000030000", None, Some(30)),
            ("1699999990", None, Some(0)),
            ("Tue, 14 Nov 2023 22:13:50 GMT", None, Some(30)),
            ("Tuesday, 14-Nov-23 22:13:50 GMT", None, Some(30)),
            ("Tue Nov 14 22:13:50 2023", None, Some(30)),
            ("Tue, 14 Nov 2023 23:13:50 +0100", None, Some(30)),
            ("2023-11-14T22:13:50Z", None, Some(30)),
            ("Tue, 14 Nov 2023 22:13:10 GMT", None, Some(0)),
            ("Mon, 14 Nov 2033 22:13:10 GMT", None, Some(long)),
            ("Tue, 14 Nov 2023 20:00:50 GMT", Some("Tue, 14 Nov 2023 20:00:00 GMT"), Some(50)),
            ("1700000050", Some("Tue, 14 Nov 2023 22:13:40 GMT"), Some(30)),
            ("soon", None, None),
            ("", None, None),
            ("-1", None, None),
            ("1e3", None, None),
            ("1.2.3", None, None),
            ("inf", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            let found = read_at(&headers, DateTime::from_timestamp(NOW, 0).unwrap());
            assert_eq!(found.map(|wait| wait.as_secs()), expected, "{value:?}");
        }
    }
}
