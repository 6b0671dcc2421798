//! `mrr_unit`: converts dollars to cents exactly, and warns about fractions of a cent.

use super::Money;
use crate::event::Violation;
use crate::json::{self, Number, Value};
use crate::reasons::Reason;

/// Multiplies the number by 100 by moving its decimal point: `99.99` becomes `9999`, never `9998.999…`.
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

/// Returns a warning for an amount that is not a whole number of cents. Usually such an amount is in dollars and
/// `mrr_unit` is missing.
pub(super) fn fraction(mrr: &Value<'_>, unit: Money) -> Option<Violation> {
    let in_cents = match unit {
        Money::Cents => mrr.clone(),
        Money::Dollars => cents(mrr),
    };
    let Value::Number(number) = in_cents else { return None };
    let advice = match unit {
        Money::Cents => "if it is in dollars, set mrr_unit = \"dollars\" on the destination",
        Money::Dollars => "check that it is in dollars",
    };
    let is_whole = number.as_f64().is_none_or(|number| number.fract() == 0.0);
    let warning = || Violation::new("mrr", format!("is not a whole number of cents: {advice}"));
    (!is_whole).then(|| warning().coded(Reason::FractionalCents))
}

/// Moves the decimal point two places to the right; returns `None` for a text with an exponent.
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

    #[test]
    fn fractions_of_a_cent_are_a_warning() {
        for (mrr, in_cents, in_dollars) in [
            ("9950", false, false),
            ("99.5", true, false),
            ("99.0", false, false),
            ("10.125", true, true),
            ("null", false, false),
            ("\"99.5\"", false, false),
        ] {
            let mrr = Value::parse(mrr).unwrap();
            assert_eq!(fraction(&mrr, Money::Cents).is_some(), in_cents, "{mrr}");
            assert_eq!(fraction(&mrr, Money::Dollars).is_some(), in_dollars, "{mrr}");
        }
    }
}
