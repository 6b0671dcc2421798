//! The only HTML that templates insert without escaping: charts, and JSON with colours. Both escape their input.

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
        Self::marked(value, &[])
    }

    /// The same, with marks at these paths, such as `$.properties.id`: at the value, or where it is missing.
    pub(super) fn marked(value: &Value, paths: &[String]) -> Self {
        let paths: Vec<&str> = paths.iter().filter_map(|path| path.strip_prefix("$.")).collect();
        let mut html = String::new();
        write(value, 0, &paths, &mut html);
        Self(html)
    }

    /// A sentence in which the text between backticks is shown as code.
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        let mut html = String::new();
        let mut parts = text.as_ref().split('`').peekable();
        let mut is_code = false;
        while let Some(part) = parts.next() {
            // A backtick without a second one stays.
            let [before, after] = match (is_code, parts.peek()) {
                (false, _) => ["", ""],
                (true, Some(_)) => ["<code>", "</code>"],
                (true, None) => ["`", ""],
            };
            html.extend([before, &escape(part), after]);
            is_code = !is_code;
        }
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

/// `marks` are the paths to mark below this value.
fn write(value: &Value, depth: usize, marks: &[&str], html: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() || marks.iter().any(|mark| !mark.contains('.')) => {
            html.push('{');
            for (at, (key, value)) in members.iter().enumerate() {
                next_line(at, depth + 1, html);
                element("i", key, html);
                html.push_str(": ");
                let below: Vec<&str> = marks
                    .iter()
                    .filter_map(|mark| mark.strip_prefix(key.as_str())?.strip_prefix('.'))
                    .collect();
                let is_marked = marks.contains(&key.as_str());
                html.push_str(if is_marked { "<mark>" } else { "" });
                write(value, depth + 1, &below, html);
                html.push_str(if is_marked { "</mark>" } else { "" });
            }
            for missing in marks.iter().filter(|mark| !mark.contains('.') && !members.contains_key(**mark)) {
                html.push('\n');
                html.push_str(&"  ".repeat(depth + 1));
                let name = Value::from(*missing).to_string();
                // Writing to a String cannot fail.
                let _ = write!(html, "<mark>no {}</mark>", escape(&visible(&name)));
            }
            last_line(depth, html);
            html.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            html.push('[');
            for (at, item) in items.iter().enumerate() {
                next_line(at, depth + 1, html);
                write(item, depth + 1, &[], html);
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
    fn marks_show_a_wrong_value_or_where_one_is_missing() {
        let value = json!({"a": {"b": 1}, "c": {}});
        let paths = ["$.a.b", "$.a.<x>", "$.d"].map(str::to_owned);
        assert_eq!(
            Markup::marked(&value, &paths).to_string(),
            "{\n  <i>&quot;a&quot;</i>: {\n    <i>&quot;b&quot;</i>: <mark><b>1</b></mark>\n    \
             <mark>no &quot;&lt;x&gt;&quot;</mark>\n  },\n  <i>&quot;c&quot;</i>: {}\n  <mark>no &quot;d&quot;</mark>\n}"
        );
    }

    #[test]
    fn backticks_become_code_and_the_rest_is_escaped() {
        for (text, html) in [
            ("`$.a` is <b>", "<code>$.a</code> is &lt;b&gt;"),
            ("a `<i>` b", "a <code>&lt;i&gt;</code> b"),
            ("one ` only", "one ` only"),
            ("", ""),
        ] {
            assert_eq!(Markup::text(text).to_string(), html);
        }
    }

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
