//! STUB, dropped when the branch `trigger` is merged: `type = "x"` only.

use crate::json::Value;

#[derive(Debug)]
pub struct Trigger(String);

#[derive(Debug)]
pub struct TriggerError {
    pub column: usize,
    pub message: String,
}

impl Trigger {
    pub fn parse(text: &str) -> Result<Trigger, TriggerError> {
        text.strip_prefix("type = \"")
            .and_then(|rest| rest.strip_suffix('"'))
            .map(|kind| Trigger(kind.to_owned()))
            .ok_or_else(|| TriggerError {
                column: 8,
                message: "this text is never closed: end it with '".to_owned(),
            })
    }

    pub fn matches(&self, event: &Value<'_>) -> bool {
        event.get("type").and_then(Value::as_str) == Some(self.0.as_str())
    }

    pub fn differences(&self) -> Vec<String> {
        Vec::new()
    }

    pub fn impossible(&self, types: &[&str]) -> Option<String> {
        (!types.contains(&self.0.as_str())).then(|| {
            format!(
                "no event has the type \"{}\"; did you mean \"track\"? (types are: {})",
                self.0,
                types.join(", ")
            )
        })
    }
}

impl std::fmt::Display for Trigger {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "type = \"{}\"", self.0)
    }
}
