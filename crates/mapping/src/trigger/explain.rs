//! Explains why a trigger does not match an event: lists the conditions that fail. Never used on the hot path.

use super::Trigger;
use super::field::ActualValue;
use super::predicate::Predicate;
use crate::json::Value;

/// Texts of an event are cut at this length: the start is enough to recognise a value.
const MAX_CHARACTERS: usize = 80;

impl Trigger {
    /// Returns each condition that fails, with the value that the event has. Empty if the trigger matches.
    pub fn failing_conditions(&self, event: &Value<'_>) -> Vec<String> {
        let mut failing_conditions = Vec::new();
        self.predicate.add_failing(true, event, &mut failing_conditions);
        failing_conditions
    }
}

impl Predicate {
    /// Adds the conditions that keep this predicate from giving the wanted result.
    fn add_failing(&self, wanted: bool, event: &Value<'_>, failing_conditions: &mut Vec<String>) {
        if self.holds(event) == wanted {
            return;
        }
        match self {
            Self::All(several) | Self::Any(several) => {
                for one in several {
                    one.add_failing(wanted, event, failing_conditions);
                }
            }
            Self::Not(one) => one.add_failing(!wanted, event, failing_conditions),
            Self::Condition(field, _) => {
                let verdict = if wanted { "does not hold" } else { "holds" };
                failing_conditions
                    .push(format!("{self} {verdict}: the event has {} there", shown(field.actual(event))));
            }
        }
    }
}

fn shown(actual: ActualValue<'_>) -> String {
    match actual {
        ActualValue::Missing => "nothing".to_owned(),
        ActualValue::Bool(bool) => bool.to_string(),
        ActualValue::Number(number) => number.to_string(),
        ActualValue::Text(text) => match text.char_indices().nth(MAX_CHARACTERS) {
            Some((end, _)) => format!("a text that begins {:?}", text.get(..end).unwrap_or_default()),
            None => format!("{text:?}"),
        },
        ActualValue::List(items) => format!("a list of {}", items.len()),
        ActualValue::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_every_condition_that_fails() {
        let event = r#"{"type":"track","event":"Signed Up","properties":{"n":5,"list":[1],"plan":"pro"}}"#;
        let event = Value::parse(event).unwrap();
        let lines = |trigger: &str| Trigger::parse(trigger).unwrap().failing_conditions(&event).join("\n");
        assert_eq!(lines("type = \"track\" and properties.n > 4"), "");
        insta::assert_snapshot!(lines("type = \"page\" and (properties.n > 9 or properties.list = \"x\")"), @r#"
        type = "page" does not hold: the event has "track" there
        properties.n > 9 does not hold: the event has 5 there
        properties.list = "x" does not hold: the event has a list of 1 there
        "#);
        insta::assert_snapshot!(lines("!(type = \"track\" and properties.none = null) and userId != null"), @r#"
        type = "track" holds: the event has "track" there
        properties.none = null holds: the event has nothing there
        userId != null does not hold: the event has nothing there
        "#);
    }
}
