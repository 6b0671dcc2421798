//! Explains why a trigger does not match an event: lists the conditions that fail. Never used on the hot path.

use super::Trigger;
use super::field::Actual;
use super::predicate::Predicate;
use crate::json::Value;

/// Longer texts of an event are cut: the start is enough to tell values apart.
const MOST_CHARACTERS: usize = 80;

impl Trigger {
    /// Each condition that fails, with what the event has there. Empty when the trigger matches.
    pub fn unmet(&self, event: &Value<'_>) -> Vec<String> {
        let mut unmet = Vec::new();
        self.predicate.blame(true, event, &mut unmet);
        unmet
    }
}

impl Predicate {
    /// Adds the conditions because of which this predicate does not give the wanted result.
    fn blame(&self, wanted: bool, event: &Value<'_>, unmet: &mut Vec<String>) {
        if self.holds(event) == wanted {
            return;
        }
        match self {
            Self::All(several) | Self::Any(several) => {
                for one in several {
                    one.blame(wanted, event, unmet);
                }
            }
            Self::Not(one) => one.blame(!wanted, event, unmet),
            Self::Condition(field, _) => {
                let verdict = if wanted { "does not hold" } else { "holds" };
                unmet.push(format!("{self} {verdict}: the event has {} there", shown(field.actual(event))));
            }
        }
    }
}

fn shown(actual: Actual<'_>) -> String {
    match actual {
        Actual::Missing => "nothing".to_owned(),
        Actual::Bool(bool) => bool.to_string(),
        Actual::Number(number) => number.to_string(),
        Actual::Text(text) => match text.char_indices().nth(MOST_CHARACTERS) {
            Some((end, _)) => format!("a text that begins {:?}", text.get(..end).unwrap_or_default()),
            None => format!("{text:?}"),
        },
        Actual::List(items) => format!("a list of {}", items.len()),
        Actual::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_every_condition_in_the_way() {
        let event = r#"{"type":"track","event":"Signed Up","properties":{"n":5,"list":[1],"plan":"pro"}}"#;
        let event = Value::parse(event).unwrap();
        let told = |trigger: &str| Trigger::parse(trigger).unwrap().unmet(&event).join("\n");
        assert_eq!(told("type = \"track\" and properties.n > 4"), "");
        insta::assert_snapshot!(told("type = \"page\" and (properties.n > 9 or properties.list = \"x\")"), @r#"
        type = "page" does not hold: the event has "track" there
        properties.n > 9 does not hold: the event has 5 there
        properties.list = "x" does not hold: the event has a list of 1 there
        "#);
        insta::assert_snapshot!(told("!(type = \"track\" and properties.none = null) and userId != null"), @r#"
        type = "track" holds: the event has "track" there
        properties.none = null holds: the event has nothing there
        userId != null does not hold: the event has nothing there
        "#);
    }
}
