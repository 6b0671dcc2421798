//! Numbers as JavaScript reads them from text and writes them: Segment's evaluator converts both ways.

/// `Number(text)`; `None` for what JavaScript calls NaN.
pub(super) fn from_text(text: &str) -> Option<f64> {
    let text =
        text.trim_matches(|char: char| char == '\u{feff}' || (char.is_whitespace() && char != '\u{85}'));
    let (radix, digits) = match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, text.get(2..)?),
        Some("0o") => (8, text.get(2..)?),
        Some("0b") => (2, text.get(2..)?),
        _ => return decimal(text),
    };
    if digits.is_empty() {
        return None;
    }
    digits
        .chars()
        .try_fold(0.0, |number, digit| Some(number * f64::from(radix) + f64::from(digit.to_digit(radix)?)))
}

fn decimal(text: &str) -> Option<f64> {
    match text {
        "" => Some(0.0),
        "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust reads the same decimal forms, and words besides.
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) => text.parse().ok(),
        _ => None,
    }
}

/// `String(number)`
pub(super) fn to_text(number: f64) -> String {
    ryu_js::Buffer::new().format(number).to_owned()
}
