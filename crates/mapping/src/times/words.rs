//! Reads dates with the month's name: RFC 2822, RFC 850, asctime, and what Java, JavaScript, Gson, `date` and people
//! write.
//!
//! The parts may come in any order. Words that are not a day, month, year or weekday are the time of day and the
//! zone.

use jiff::civil::Date;

use super::date::number;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Returns the date and the other words in their order; `None` if no month is named.
pub(super) fn split(text: &str) -> Option<(Date, String)> {
    let mut parts = Parts::default();
    let mut rest = String::new();
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        let is_date = if word.contains('-') && word.contains(|char: char| char.is_ascii_alphabetic()) {
            // `15-Jan-24`, for example.
            word.split('-').all(|part| parts.take(part))
        } else {
            parts.take(word)
        };
        if !is_date {
            rest.push_str(word);
            rest.push(' ');
        }
    }
    let date = Date::new(parts.year?, parts.month?, i8::try_from(parts.day?).ok()?).ok()?;
    Some((date, rest))
}

#[derive(Default)]
struct Parts {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i16>,
}

impl Parts {
    /// Adds the word to the date; returns false if it is not a part of one.
    fn take(&mut self, word: &str) -> bool {
        let word = word.to_ascii_lowercase();
        let word = word.trim_end_matches('.');
        if let Some(month) = named(&MONTHS, word) {
            return self.month.replace(month).is_none();
        }
        if matches!(word, "at" | "of" | "the") || named(&WEEKDAYS, word).is_some() {
            return true;
        }
        let digits = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
        let Some(number) = number(digits) else { return false };
        match digits.len() {
            4 => self.year.replace(number).is_none(),
            1 | 2 if self.day.is_none() => self.day.replace(number).is_none(),
            // RFC 850 writes the year with two digits.
            2 if self.year.is_none() => {
                let century = if number < 70 { 2000 } else { 1900 };
                self.year.replace(century + number).is_none()
            }
            _ => false,
        }
    }
}

/// Returns the position in the list, from 1, of a name or of its first letters.
fn named(names: &[&str], word: &str) -> Option<i8> {
    let at = names.iter().position(|name| word.len() >= 3 && name.starts_with(word))?;
    i8::try_from(at + 1).ok()
}
