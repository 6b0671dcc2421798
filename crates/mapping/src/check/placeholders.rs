//! Placeholders: words that programs print for a missing value. As a user or group id, such a word would merge
//! everybody without an id into one account.

/// What languages print for a missing value, in lower case.
const WORDS: [&str; 16] = [
    "undefined",
    "null",
    "nil",
    "none",
    "nan",
    "false",
    "{}",
    "[]",
    "\"\"",
    "''",
    "optional(nil)",
    "#n/a",
    "\\n",
    "(none)",
    "-nan",
    // .NET's empty Guid.
    "00000000-0000-0000-0000-000000000000",
];

/// True if the text is blank or a language's word for a missing value: `undefined`, `None`, `(null)`, `[object
/// Object]`.
pub fn is_placeholder(id: &str) -> bool {
    let id = id.trim();
    // Objective-C and Go print such words in brackets.
    let bare = match id.as_bytes() {
        [b'(', .., b')'] | [b'<', .., b'>'] => id.get(1..id.len() - 1).unwrap_or(id),
        _ => id,
    };
    let is_object = || {
        let start = id.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("[object "));
        start && id.ends_with(']')
    };
    bare.is_empty() || WORDS.iter().any(|word| word.eq_ignore_ascii_case(bare)) || is_object()
}

/// True if JavaScript made the text, or a part of it, from an object.
pub fn is_object_text(text: &str) -> bool {
    // Almost no name has a bracket, and finding a character is faster than finding a text.
    text.contains('[') && text.contains("[object Object]")
}

#[cfg(test)]
mod tests {
    use super::is_placeholder;

    #[test]
    fn placeholders_are_not_ids() {
        for word in [
            "",
            "  ",
            "undefined",
            "null",
            " NULL ",
            "nil",
            "None",
            "NaN",
            "(null)",
            "<null>",
            "<nil>",
            "[object Object]",
            "[object Undefined]",
            "false",
            "{}",
            "[]",
            "Optional(nil)",
            "00000000-0000-0000-0000-000000000000",
            "#N/A",
        ] {
            assert!(is_placeholder(word), "{word:?}");
        }
        for id in [
            "0",
            "1",
            "-1",
            "anonymous",
            "unknown",
            "nobody",
            "nilsson",
            "none@example.com",
            "nullable",
            "(u1)",
            "true",
            "undefined-1",
            "user null",
        ] {
            assert!(!is_placeholder(id), "{id:?}");
        }
    }
}
