//! Removes the marks that a language or locale adds to a date: digits of other scripts, special spaces, .NET's
//! `/Date(…)/`, Go's monotonic reading, JavaScript's name of the zone in parentheses.

use std::borrow::Cow;

/// The first of each script's ten digits (Unicode's decimal digits, `Nd`, in the scripts that locales print).
const ZEROS: [char; 28] = [
    '\u{660}', '\u{6f0}', '\u{7c0}', '\u{966}', '\u{9e6}', '\u{a66}', '\u{ae6}', '\u{b66}', '\u{be6}',
    '\u{c66}', '\u{ce6}', '\u{d66}', '\u{de6}', '\u{e50}', '\u{ed0}', '\u{f20}', '\u{1040}', '\u{1090}',
    '\u{17e0}', '\u{1810}', '\u{1946}', '\u{19d0}', '\u{1a80}', '\u{1b50}', '\u{1c50}', '\u{a9d0}',
    '\u{abf0}', '\u{ff10}',
];
const THAI_ZERO: char = '\u{e50}';

/// The years between the Buddhist calendar, which Thai devices print, and the common one.
const BUDDHIST_YEARS: u16 = 543;

pub(super) fn clean(text: &str) -> Cow<'_, str> {
    let ascii = if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(to_ascii(text)) };
    match ascii {
        Cow::Borrowed(text) => Cow::Borrowed(without_marks(text)),
        Cow::Owned(text) => Cow::Owned(without_marks(&text).to_owned()),
    }
}

fn to_ascii(text: &str) -> String {
    let is_thai = text.contains(|char| digit(char).is_some_and(|(zero, _)| zero == THAI_ZERO));
    let ascii: String = text
        .chars()
        .filter_map(|char| match char {
            // Marks that only control how the text is displayed.
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => None,
            '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
            '\u{66b}' | '\u{60c}' => Some('.'),
            '\u{ff1a}' => Some(':'),
            space if space.is_whitespace() => Some(' '),
            other => Some(digit(other).map_or(other, |(_, digit)| digit)),
        })
        .collect();
    if is_thai { with_common_year(&ascii).unwrap_or(ascii) } else { ascii }
}

/// Returns the first digit of the character's script, and the digit as ASCII.
fn digit(char: char) -> Option<(char, char)> {
    ZEROS.into_iter().find_map(|zero| {
        let value = u32::from(char).checked_sub(u32::from(zero)).filter(|value| *value < 10)?;
        Some((zero, char::from_digit(value, 10)?))
    })
}

/// Converts a text in Thai digits that begins with a year of the Buddhist calendar to the common calendar.
fn with_common_year(text: &str) -> Option<String> {
    let (year, rest) = text.split_at_checked(4)?;
    let year: u16 = year.parse().ok().filter(|year| (2400..2800).contains(year))?;
    Some(format!("{}{rest}", year - BUDDHIST_YEARS))
}

fn without_marks(text: &str) -> &str {
    let text = text.trim_matches(|char: char| char.is_whitespace() || char.is_control());
    let text = text.trim_matches(['"', '\'']).trim();
    // ISO 8601 and JavaScript also write years with six digits.
    let text = text.strip_prefix("+00").filter(|text| text.find('-') == Some(4)).unwrap_or(text);
    if let Some(ticks) = dot_net(text) {
        return ticks;
    }
    // Go prints how long its process has run after the zone: `… +0000 UTC m=+0.000012`.
    let text = text.split_once(" m=").map_or(text, |(time, _)| time);
    // JavaScript prints the zone's name in parentheses at the end, and RFC 2822 allows a comment there.
    let text = if text.ends_with(')') { text.split_once('(').map_or(text, |(time, _)| time) } else { text };
    text.trim_end_matches([' ', ',', '.', ';'])
}

/// Reads .NET's `/Date(1700000000000+0100)/`: Unix milliseconds, whatever offset follows them.
fn dot_net(text: &str) -> Option<&str> {
    let inner = text.trim_matches(['/', '\\']).strip_prefix("Date(")?.strip_suffix(')')?;
    let end = inner.get(1..)?.find(['+', '-']).map_or(inner.len(), |at| at + 1);
    inner.get(..end)
}
