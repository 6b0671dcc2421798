//! Finds mapping values that are probably mistakes, for the warnings of `check`. Never used for events.
//!
//! Looks at a value as it is written: a path outside `@path`, a path that no event has, braces that nothing fills in.

use super::directive::{self, NAMES};
use super::spec;
use crate::json::{Object, Value};

/// A warning and its place in the value: `traits.name.@if.then`.
pub(super) struct Remark {
    pub path: String,
    pub message: String,
}

/// Returns the warnings for one mapping value that is used for events of these types.
pub(super) fn lint(value: &Value<'_>, types: &[&str]) -> Vec<Remark> {
    let mut lint = Lint { types, is_event: true, remarks: Vec::new() };
    lint.value(value, "");
    lint.remarks
}

struct Lint<'t> {
    types: &'t [&'t str],
    /// False inside `@transform` and `@arrayPath`, where paths start elsewhere.
    is_event: bool,
    remarks: Vec<Remark>,
}

impl Lint<'_> {
    fn remark(&mut self, path: &str, message: impl Into<String>) {
        self.remarks.push(Remark { path: path.to_owned(), message: message.into() });
    }

    fn value(&mut self, value: &Value<'_>, path: &str) {
        match value {
            Value::String(text) => self.literal(text, path),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, &join(path, &index.to_string()));
                }
            }
            Value::Object(members) => self.object(members, path),
            _ => {}
        }
    }

    fn object(&mut self, members: &Object<'_>, path: &str) {
        for (key, value) in members.iter() {
            let here = join(path, key);
            match (key, value) {
                ("@path", Value::String(text)) => self.names(&directive::path_names(text), &here, "$."),
                ("@template", Value::String(text)) => self.template(text, &here),
                ("@liquid", Value::String(text)) => self.liquid(text, &here),
                // A literal in this form is meant literally.
                ("@literal" | "_metadata", _) => {}
                ("@arrayPath", Value::Array(items)) => {
                    if let Some(Value::String(list)) = items.first() {
                        self.names(&directive::path_names(list), &join(&here, "0"), "$.");
                    }
                    self.elsewhere(items.get(1), &join(&here, "1"));
                }
                ("@transform", Value::Object(options)) => {
                    self.option(options, "apply", &here);
                    self.elsewhere(options.get("mapping"), &join(&here, "mapping"));
                }
                ("@merge", Value::Object(options)) => self.option(options, "objects", &here),
                ("@replace" | "@case" | "@json" | "@flatten", Value::Object(options)) => {
                    self.option(options, "value", &here);
                }
                _ => self.value(value, &here),
            }
        }
    }

    /// Checks an option of a directive that is itself a mapping value.
    fn option(&mut self, options: &Object<'_>, key: &str, path: &str) {
        if let Some(value) = options.get(key) {
            self.value(value, &join(path, key));
        }
    }

    /// Checks a part whose paths do not start at the event.
    fn elsewhere(&mut self, value: Option<&Value<'_>>, path: &str) {
        let before = std::mem::replace(&mut self.is_event, false);
        if let Some(value) = value {
            self.value(value, path);
        }
        self.is_event = before;
    }

    /// Checks a text that is sent literally.
    fn literal(&mut self, text: &str, path: &str) {
        let trimmed = text.trim();
        if let Some(name) =
            NAMES.iter().find(|name| trimmed.starts_with(['{', '@']) && trimmed.contains(*name))
        {
            self.remark(path, format!("this is a text, not the directive {name}: write it without quotes"));
        } else if trimmed.contains("{{") && trimmed.contains("}}") {
            let message = format!(
                "is sent as the text {text:?}: only `@template` fills in {{{{…}}}}; write {{ \"@template\" = {text:?} }}"
            );
            self.remark(path, message);
        } else if let Some(meant) = meant_path(trimmed) {
            let message = format!(
                "is sent as the text {text:?}, not as the value there: write {{ \"@path\" = \"$.{meant}\" }}, or \
                 {{ \"@literal\" = {text:?} }} if the text is meant"
            );
            self.remark(path, message);
        }
    }

    fn template(&mut self, text: &str, path: &str) {
        let placeholders = directive::template_names(text);
        for names in &placeholders {
            match names.split_first() {
                Some((root, rest)) if root == "$" => {
                    let meant = rest.join(".");
                    self.remark(
                        path,
                        format!(
                            "{{{{$.{meant}}}}} is always empty: a template has no `$.`; write {{{{{meant}}}}}"
                        ),
                    );
                    self.names(rest, path, "");
                }
                _ => self.names(names, path, ""),
            }
        }
        if !placeholders.is_empty() {
            return;
        }
        if let Some(meant) = single_braces(text).or_else(|| meant_path(text.trim())) {
            let message =
                format!("names no {{{{path}}}}, so it is always the text {text:?}: write {{{{{meant}}}}}");
            self.remark(path, message);
        }
    }

    /// Checks only the variable at the beginning of each `{{…}}`.
    fn liquid(&mut self, text: &str, path: &str) {
        for output in text.split("{{").skip(1) {
            let output = output.split("}}").next().unwrap_or_default();
            let output = output.trim_start_matches('-').trim_start();
            if let Some(rest) = output.strip_prefix("$.") {
                let meant = leading_path(rest);
                self.remark(path, format!("Liquid has no `$.`: write {{{{ {meant} }}}}"));
                continue;
            }
            let named = leading_path(output);
            let root = named.split('.').next().unwrap_or_default();
            let words = ["true", "false", "nil", "null", "empty", "blank", "forloop", "tablerowloop"];
            if !root.is_empty() && !words.contains(&root) && !is_assigned(text, root) {
                self.names(&directive::path_names(named), path, "");
            }
        }
    }

    /// Checks a path into the event; `prefix` is the text before it.
    fn names(&mut self, names: &[String], path: &str, prefix: &str) {
        if !self.is_event {
            return;
        }
        if let Some(mismatch) = spec::mismatch(names, self.types) {
            self.remark(path, mismatch.sentence(prefix));
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Returns the path that a text spells, if it can hardly be anything else: `$.event`, `$['event']`,
/// `properties.plan`.
fn meant_path(text: &str) -> Option<String> {
    let names = directive::path_names(text.strip_prefix('$').unwrap_or(text));
    let is_plain = |name: &String| name.chars().all(|one| one.is_alphanumeric() || "_-".contains(one));
    let is_rooted = text.starts_with("$.") || text.starts_with("$[");
    let is_spelled = names.len() > 1 && names.first().is_some_and(|root| spec::is_object(root));
    let is_path = !names.is_empty() && (is_rooted || (is_spelled && names.iter().all(is_plain)));
    is_path.then(|| names.join("."))
}

/// Returns the path in `{event}` or `${properties.plan}`.
fn single_braces(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('{')?;
    let (inner, _) = rest.trim_start_matches('{').split_once('}')?;
    let names = directive::path_names(inner.trim());
    names.first().is_some_and(|root| spec::is_member(root)).then(|| names.join("."))
}

fn leading_path(text: &str) -> &str {
    let end = text.find(|one: char| !(one.is_alphanumeric() || "_.-".contains(one))).unwrap_or(text.len());
    let path = text.get(..end).unwrap_or_default();
    // A number or a quoted text is not a variable.
    if path.starts_with(|one: char| one.is_alphabetic() || one == '_') { path } else { "" }
}

/// True if a Liquid template sets this variable itself.
fn is_assigned(text: &str, name: &str) -> bool {
    let words = text.split(|one: char| !(one.is_alphanumeric() || "_-".contains(one)));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let makers = ["assign", "capture", "for", "increment", "decrement", "tablerow"];
    words.iter().zip(words.iter().skip(1)).any(|(maker, made)| makers.contains(maker) && *made == name)
}
