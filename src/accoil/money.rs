//! `mrr_unit = "dollars"`: an amount of dollars becomes cents, exactly (DESIGN 5.11).

use crate::json::{self, Number, Value};

/// A hundred times the number, by moving its decimal point: `99.99` is `9999`, never `9998.999…`.
pub(super) fn cents(dollars: &Value<'_>) -> Value<'static> {
    let Value::Number(number) = dollars else {
        return dollars.clone().into_owned();
    };
    let mut digits = Vec::new();
    json::write_number(number, &mut digits);
    let text = String::from_utf8_lossy(&digits);
    moved(&text)
        .and_then(|text| serde_json::from_str::<Number>(&text).ok())
        .or_else(|| Number::from_f64(number.as_f64()? * 100.0))
        .map_or(Value::Null, Value::Number)
}

/// The decimal text with its point two places to the right; `None` for a text with an exponent.
fn moved(text: &str) -> Option<String> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let padded = format!("{fraction:0<2}");
    let (near, rest) = padded.split_at_checked(2)?;
    let whole = format!("{whole}{near}");
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if rest.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_become_cents_exactly() {
        for (dollars, expected) in [
            ("99.99", "9999"),
            ("3000", "300000"),
            ("0.07", "7"),
            ("1.1", "110"),
            ("10.125", "1012.5"),
            ("-4.35", "-435"),
            ("0", "0"),
            ("1e300", "1e+302"),
            ("\"9\"", "\"9\""),
        ] {
            assert_eq!(cents(&Value::parse(dollars).unwrap()).to_string(), expected, "{dollars}");
        }
    }
}
