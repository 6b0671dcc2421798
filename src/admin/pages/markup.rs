//! The only text that templates take without escaping it: charts, and JSON with colours. Both escape what they are made of.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// HTML that this folder made.
#[derive(Debug, Clone)]
pub(super) struct Markup(String);

impl Markup {
    /// A chart of [`super::chart`].
    pub(super) const fn chart(svg: String) -> Self {
        Self(svg)
    }

    /// A JSON value, pretty-printed: keys, texts and numbers in elements of their own.
    pub(super) fn json(value: &Value) -> Self {
        let mut html = String::new();
        write(value, 0, &mut html);
        Self(html)
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Markup {}

/// Escapes a text for an element or a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn write(value: &Value, depth: usize, html: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            html.push('{');
            for (at, (key, value)) in members.iter().enumerate() {
                next_line(at, depth + 1, html);
                element("i", key, html);
                html.push_str(": ");
                write(value, depth + 1, html);
            }
            last_line(depth, html);
            html.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            html.push('[');
            for (at, item) in items.iter().enumerate() {
                next_line(at, depth + 1, html);
                write(item, depth + 1, html);
            }
            last_line(depth, html);
            html.push(']');
        }
        Value::String(text) => element("em", text, html),
        Value::Object(_) => html.push_str("{}"),
        Value::Array(_) => html.push_str("[]"),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            html.push_str("<b>");
            html.push_str(&value.to_string());
            html.push_str("</b>");
        }
    }
}

fn element(name: &str, text: &str, html: &mut String) {
    let quoted = Value::from(text).to_string();
    // Writing to a String cannot fail.
    let _ = write!(html, "<{name}>{}</{name}>", escape(&visible(&quoted)));
}

/// Characters that would hide or reorder the text are written as escapes.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{7f}'..='\u{9f}' => {
                let _ = write!(shown, "\\u{:04x}", u32::from(sign));
            }
            _ => shown.push(sign),
        }
    }
    shown
}

fn next_line(at: usize, depth: usize, html: &mut String) {
    html.push_str(if at > 0 { ",\n" } else { "\n" });
    html.push_str(&"  ".repeat(depth));
}

fn last_line(depth: usize, html: &mut String) {
    html.push('\n');
    html.push_str(&"  ".repeat(depth));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_pretty_and_every_text_in_it_is_escaped() {
        let value = json!({"a<b>": ["</em><script>", 1, null, {}], "c": "\u{202e}\u{1b}[31m\"'&"});
        assert_eq!(
            Markup::json(&value).to_string(),
            "{\n  <i>&quot;a&lt;b&gt;&quot;</i>: [\n    <em>&quot;&lt;/em&gt;&lt;script&gt;&quot;</em>,\n    <b>1</b>,\n    \
             <b>null</b>,\n    {}\n  ],\n  <i>&quot;c&quot;</i>: <em>&quot;\\u202e\\u001b[31m\\&quot;&#39;&amp;&quot;</em>\n}"
        );
    }
}
