//! Tests of the reader with the table `tests/fixtures/times.ndjson`: the program that prints a value, the value, and
//! its time.

use chrono::{DateTime, SecondsFormat, Utc};
use proptest::prelude::*;

use super::*;

const TABLE: &str = include_str!("../../tests/fixtures/times.ndjson");

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn every_spelling_of_the_table_is_read() {
    let mut wrong = Vec::new();
    for line in TABLE.lines() {
        let row = Value::parse(line).unwrap();
        let printed =
            read(row.get("value").unwrap()).map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        if printed.as_deref() != row.get("time").unwrap().as_str() {
            wrong.push(format!("{line}\n  was read as {printed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_event_happened_between_1970_and_a_day_after_its_receipt() {
    let received = time("2026-01-02T03:04:05Z");
    for (text, expected) in [
        ("1969-12-31T23:59:59Z", false),
        ("1970-01-01T00:00:00Z", true),
        ("2026-01-03T03:04:05Z", true),
        ("2026-01-03T03:04:06Z", false),
        ("0027-06-27T08:23:48Z", false),
    ] {
        assert_eq!(is_plausible(time(text), received), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,40}", digits in "[0-9:.,+TZW/ -]{0,40}", words in "(Jan|Mon|AM|\\[|\\]|UTC|[0-9]{1,4}|:| |,|-|/Date\\(|\\)){0,12}") {
        for text in [text, digits, words] {
            let _ = read_text(&text);
        }
    }

    #[test]
    fn a_written_time_is_read_again(milliseconds in 0..4_102_444_800_000_i64) {
        let time = DateTime::from_timestamp_millis(milliseconds).unwrap();
        prop_assert_eq!(read(&write(time)), Some(time));
        for format in ["%a, %d %b %Y %H:%M:%S%.3f +0000", "%Y-%m-%d %H:%M:%S%.3f", "%Y%m%dT%H%M%S%.3fZ", "%G-W%V-%uT%H:%M:%S%.3f", "%Y-%jT%H:%M:%S%.3fZ", "%B %-d, %Y, %-I:%M:%S%.3f %p"] {
            prop_assert_eq!(read_text(&time.format(format).to_string()), Some(time), "{}", format);
        }
    }
}
