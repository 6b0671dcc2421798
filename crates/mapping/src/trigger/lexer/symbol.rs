//! Quoted texts, numbers and operators.

use super::{Fault, Kind, Lexer};
use crate::trigger::difference::Difference;
use crate::trigger::predicate::Operator;

impl<'t> Lexer<'t, '_> {
    pub(super) fn quoted(&mut self, quote: char) -> Result<Kind<'t>, Fault> {
        let open = self.at;
        self.advance();
        let rest = self.rest();
        let length = rest
            .find(quote)
            .ok_or_else(|| Fault::new(open, format!("this text is never closed: end it with {quote}")))?;
        self.at += length + quote.len_utf8();
        if quote == '\'' {
            self.note(open, Difference::SingleQuotes);
        } else if !self.at_terminator() {
            self.note(open, Difference::MissingSpace { symbol: "\"", place: "after" });
        }
        Ok(Kind::Text(rest.get(..length).unwrap_or_default()))
    }

    pub(super) fn symbol(&mut self, first: char) -> Result<Kind<'t>, Fault> {
        let at = self.at;
        let length = self.rest().bytes().take_while(|byte| b"=<>&|".contains(byte)).count();
        // A `!` begins `!=` or negates a function. It never ends a longer symbol.
        let length = if first == '!' { 1 + usize::from(self.rest().starts_with("!=")) } else { length };
        let symbol = self.rest().get(..length).unwrap_or_default();
        self.at += length;
        let operator = match symbol {
            "!" => {
                if !self.peek().is_some_and(|next| next.is_ascii_alphabetic() || next == '(') {
                    self.note(at, Difference::SpaceAfterNegation);
                }
                return Ok(Kind::Not);
            }
            "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            _ => return Err(Fault::new(at, unknown_symbol(symbol))),
        };
        if length == 2 && !self.at_terminator() {
            self.note(at, Difference::MissingSpace { symbol: operator.symbol(), place: "after" });
        }
        Ok(Kind::Operator(operator))
    }

    pub(super) fn number(&mut self) -> Result<Kind<'t>, Fault> {
        let at = self.at;
        let bytes = self.rest().as_bytes();
        let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let mut length = usize::from(!bytes.first().is_some_and(u8::is_ascii_digit));
        length += digits(length);
        if bytes.get(length) == Some(&b'.') {
            length += 1 + digits(length + 1);
        }
        if matches!(bytes.get(length), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
            length += 1 + sign + digits(length + 1 + sign);
            self.note(at, Difference::Exponent);
        }
        let source = self.rest().get(..length).unwrap_or_default();
        self.at += length;
        let complete = source.ends_with(|last: char| last.is_ascii_digit())
            && !self.at_name()
            && self.peek() != Some('.');
        match source.parse::<f64>() {
            Ok(number) if complete && number.is_finite() => Ok(Kind::Number(number)),
            _ => Err(Fault::new(
                at,
                "this is not a number: write one like 5, -5 or 0.5, and text in double quotes",
            )),
        }
    }
}

fn unknown_symbol(symbol: &str) -> String {
    let meant = match symbol {
        "==" | "===" => "`=`",
        "<>" => "`!=`",
        "=<" => "`<=`",
        "=>" => "`>=`",
        "&&" | "&" => "`and`",
        "||" | "|" => "`or`",
        _ => "one of = != < <= > >=",
    };
    format!("`{symbol}` is not an operator: write {meant}")
}
