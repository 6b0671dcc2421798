//! Hides values that `[privacy] redact` names: at their paths, and wherever else in the same event they occur.
//!
//! So a value is also hidden where a mapping moved it or an answer repeats it. A text that cannot be read as JSON is hidden as a
//! whole, because the relay cannot know what is in it.

use std::borrow::Cow;

use crate::json::Value;

use super::block::Payload;

/// Shown in place of a value.
pub const HIDDEN: &str = "[redacted]";
const HIDDEN_TEXT: &str = "[redacted: not readable as JSON]";
/// A shorter value is hidden at its path only, because it may occur elsewhere by chance.
const MIN_VALUE: usize = 4;
const MAX_DEPTH: usize = 120;
/// The places where senders put the same member: in Segment's spec, in Amplitude's events, and in calls.
const TRAITS: [&str; 6] = [
    "traits",
    "context.traits",
    "user_properties",
    "user_properties.*",
    "group_properties",
    "groupTraits.*.traits",
];
const PROPERTIES: [&str; 2] = ["properties", "event_properties"];

/// Returns whether a value of a stored text was hidden before it was stored. A text that contains the word itself counts too, because
/// nothing tells them apart.
pub fn has_hidden(text: &str) -> bool {
    text.contains(HIDDEN) || text.contains(HIDDEN_TEXT)
}

/// The paths to hide. Without paths, nothing is searched.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    paths: Vec<Vec<String>>,
}

/// The values to hide in one event.
#[derive(Debug, Default)]
pub struct HiddenValues(Vec<String>);

impl Redactor {
    /// `*` in a path stands for any one key; items of lists are searched without a key of their own.
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p str>) -> Self {
        let mut all = Vec::new();
        for path in paths {
            all.push(path.to_owned());
            for (own, places) in [("traits.", &TRAITS[..]), ("properties.", &PROPERTIES[..])] {
                if let Some(rest) = path.strip_prefix(own) {
                    all.extend(places.iter().map(|place| format!("{place}.{rest}")));
                }
            }
        }
        all.sort();
        all.dedup();
        let split = |path: &String| path.split('.').map(str::to_owned).collect();
        Self { paths: all.iter().map(split).collect() }
    }

    pub fn is_off(&self) -> bool {
        self.paths.is_empty()
    }

    /// Returns the values at the paths in these JSON texts.
    pub fn find<'t>(&self, texts: impl Iterator<Item = &'t str>) -> HiddenValues {
        let mut found = HiddenValues::default();
        if self.is_off() {
            return found;
        }
        for text in texts.filter(|text| self.may_occur(text)) {
            if let Ok(mut value) = Value::parse_within(text, MAX_DEPTH) {
                self.hide_paths(&mut value, &mut found);
            }
        }
        found.0.sort_by_key(|value| std::cmp::Reverse(value.len()));
        found.0.dedup();
        found
    }

    /// As [`find`](Self::find), in what was received or sent.
    pub fn find_in(&self, texts: &[&[u8]]) -> HiddenValues {
        if self.is_off() {
            return HiddenValues::default();
        }
        let texts: Vec<_> = texts.iter().map(|text| String::from_utf8_lossy(text)).collect();
        self.find(texts.iter().map(|text| &**text))
    }

    /// Hides all such values in a payload.
    pub fn hide(&self, payload: &mut Payload) {
        if self.is_off() {
            return;
        }
        let texts = || payload.bodies.iter().map(|body| &**body).chain([&*payload.original]);
        let found = self.find(texts().chain(payload.envelope.as_deref()));
        if let Some(hidden) = self.hidden(&payload.original, &found) {
            payload.original = hidden.into();
        }
        for body in &mut payload.bodies {
            if let Some(hidden) = self.hidden(body, &found) {
                *body = hidden.into();
            }
        }
        if let Some(envelope) = &payload.envelope
            && let Some(hidden) = self.hidden(envelope, &found)
        {
            payload.envelope = Some(hidden.into());
        }
    }

    /// Returns whether a payload contains this text outside of hidden values.
    pub(super) fn shows(&self, payload: &Payload, text: &str) -> bool {
        let has_text = |payload: &Payload| {
            payload.original.contains(text) || payload.bodies.iter().any(|body| body.contains(text))
        };
        if self.is_off() || !has_text(payload) {
            return has_text(payload);
        }
        let mut payload = payload.clone();
        self.hide(&mut payload);
        has_text(&payload)
    }

    /// Returns the JSON text with its values hidden; `None` if there is nothing to hide in it.
    pub fn hidden(&self, text: &str, found: &HiddenValues) -> Option<String> {
        if self.is_off() || text.is_empty() {
            return None;
        }
        let Ok(mut value) = Value::parse_within(text, MAX_DEPTH) else {
            return Some(HIDDEN_TEXT.to_owned());
        };
        let mut again = HiddenValues::default();
        self.hide_paths(&mut value, &mut again);
        let is_changed = found.hide_values(&mut value) | !again.0.is_empty();
        is_changed.then(|| {
            let mut out = Vec::with_capacity(text.len());
            value.write(&mut out);
            String::from_utf8_lossy(&out).into_owned()
        })
    }

    /// Returns false only if no path can lead to a value in the text.
    fn may_occur(&self, text: &str) -> bool {
        // A key may be written with escapes.
        text.contains("\\u")
            || self.paths.iter().any(|path| {
                let last = path.iter().rev().find(|key| *key != "*");
                last.is_none_or(|key| memchr::memmem::find(text.as_bytes(), key.as_bytes()).is_some())
            })
    }

    fn hide_paths(&self, value: &mut Value<'_>, found: &mut HiddenValues) {
        for path in &self.paths {
            hide_path(value, path, found);
        }
        // The event in an Extensible Webhook's wrapper.
        if let Value::Object(object) = value
            && let Some(inner) = object.get_mut("json")
        {
            for path in &self.paths {
                hide_path(inner, path, found);
            }
        }
    }
}

fn hide_path(value: &mut Value<'_>, path: &[String], found: &mut HiddenValues) {
    if let Value::Array(items) = value {
        let rest = match path.split_first() {
            Some((key, rest)) if key == "*" => rest,
            _ => path,
        };
        for item in items {
            hide_path(item, rest, found);
        }
        return;
    }
    let Some((key, rest)) = path.split_first() else {
        found.take(value);
        *value = Value::String(Cow::Borrowed(HIDDEN));
        return;
    };
    let Value::Object(object) = value else { return };
    if key == "*" {
        object.values_mut().for_each(|value| hide_path(value, rest, found));
    } else if let Some(value) = object.get_mut(key) {
        hide_path(value, rest, found);
    }
}

impl HiddenValues {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a text is one of the values.
    pub fn is_value(&self, text: &str) -> bool {
        self.0.iter().any(|value| value == text)
    }

    /// Returns a text with the values hidden; `None` if it contains none of them.
    pub fn hidden_in(&self, text: &str) -> Option<String> {
        let mut hidden = Cow::Borrowed(text);
        for value in self.0.iter().filter(|value| value.len() >= MIN_VALUE) {
            if hidden.contains(value.as_str()) {
                hidden = Cow::Owned(hidden.replace(value.as_str(), HIDDEN));
            }
        }
        if let Cow::Owned(hidden) = hidden { Some(hidden) } else { None }
    }

    /// Hides the values in a text.
    pub fn hide_in(&self, text: &mut String) {
        if let Some(hidden) = self.hidden_in(text) {
            *text = hidden;
        }
    }

    fn take(&mut self, value: &Value<'_>) {
        match value {
            Value::String(text) if text == HIDDEN => {}
            Value::String(text) => self.0.push(text.to_string()),
            Value::Number(number) => self.0.push(number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| self.take(item)),
            Value::Object(object) => object.iter().for_each(|(_, value)| self.take(value)),
            Value::Null | Value::Bool(_) => self.0.push(String::new()),
        }
    }

    fn hide_values(&self, value: &mut Value<'_>) -> bool {
        if self.0.is_empty() {
            return false;
        }
        match value {
            Value::String(text) => match self.hidden_in(text) {
                Some(hidden) => {
                    *text = Cow::Owned(hidden);
                    true
                }
                None => false,
            },
            Value::Number(number) => {
                let text = number.to_string();
                let is_value = text.len() >= MIN_VALUE && self.is_value(&text);
                if is_value {
                    *value = Value::String(Cow::Borrowed(HIDDEN));
                }
                is_value
            }
            Value::Array(items) => {
                items.iter_mut().fold(false, |changed, item| self.hide_values(item) | changed)
            }
            Value::Object(object) => {
                object.values_mut().fold(false, |changed, value| self.hide_values(value) | changed)
            }
            Value::Null | Value::Bool(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hide(paths: &[&str], original: &str, body: &str) -> (String, String) {
        let mut payload = Payload { original: original.into(), envelope: None, bodies: vec![body.into()] };
        Redactor::new(paths.iter().copied()).hide(&mut payload);
        (payload.original.into(), payload.bodies[0].to_string())
    }

    #[test]
    fn a_value_is_hidden_at_its_path_and_wherever_a_mapping_moved_it() {
        for (paths, original, body, hidden_original, hidden_body) in [
            (
                &["traits.email"][..],
                r#"{"traits":{"email":"ann@example.com","plan":"pro"},"n":1.50}"#,
                r#"{"user":{"mail":"<ann@example.com>"},"plan":"pro"}"#,
                r#"{"traits":{"email":"[redacted]","plan":"pro"},"n":1.5}"#,
                r#"{"user":{"mail":"<[redacted]>"},"plan":"pro"}"#,
            ),
            (
                &["properties.*.iban", "context.ip"],
                r#"{"properties":{"a":{"iban":4799},"b":[{"iban":"x"}]},"context":{"ip":"1.2.3.4"}}"#,
                r#"{"iban":4799,"x":"x"}"#,
                r#"{"properties":{"a":{"iban":"[redacted]"},"b":[{"iban":"[redacted]"}]},"context":{"ip":"[redacted]"}}"#,
                r#"{"iban":"[redacted]","x":"x"}"#,
            ),
            (
                &["traits.email"],
                r#"{"user_properties":{"$set":{"\u0065mail":{"home":"ann@example.com"}}}}"#,
                r#"{"text":"ann@example.com"}"#,
                r#"{"user_properties":{"$set":{"email":"[redacted]"}}}"#,
                r#"{"text":"[redacted]"}"#,
            ),
            (
                &["traits.email"],
                r#"{"json":{"traits":{"email":"abcd"}}}"#,
                "{}",
                r#"{"json":{"traits":{"email":"[redacted]"}}}"#,
                "{}",
            ),
            (&["traits.email"], r#"{"a":"email"}"#, r#"{"a": 1}"#, r#"{"a":"email"}"#, r#"{"a": 1}"#),
            (&["traits.email"], r#"{"traits":{"email":"a"#, "{}", HIDDEN_TEXT, "{}"),
            (&["*"], r#"{"a":true}"#, "{}", r#"{"a":"[redacted]"}"#, "{}"),
            (&[], r#"{"a":"#, "{}", r#"{"a":"#, "{}"),
        ] {
            let found = hide(paths, original, body);
            assert_eq!(found, (hidden_original.to_owned(), hidden_body.to_owned()), "{paths:?} {original}");
        }
    }

    #[test]
    fn an_answer_is_shown_without_the_values() {
        let redactor = Redactor::new(["traits.email"]);
        let found = redactor.find([r#"{"traits":{"email":"ann@example.com"}}"#].into_iter());
        let answer = "ann@example.com is no address";
        assert_eq!(found.hidden_in(answer).as_deref(), Some("[redacted] is no address"));
        assert!(found.is_value("ann@example.com") && found.hidden_in("fine").is_none());
    }
}
