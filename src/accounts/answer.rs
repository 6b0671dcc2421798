//! Makes another system's answer safe to show: short, and without the secret.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::plain::plain;

/// Characters shown of an answer that is not JSON.
const MAX_EXCERPT: usize = 200;
/// Characters shown of one text in an error's body.
const MAX_TEXT: usize = 500;

/// Shortens a text from an error's body.
pub(super) fn short(text: &str) -> String {
    plain(text, MAX_TEXT)
}

/// The beginning of an answer that is not JSON. `hide` removes the secret.
pub(super) fn excerpt(body: &[u8], hide: impl Fn(&str) -> String) -> String {
    // Secrets are removed before the text is cut: half a secret would not be found.
    let text = plain(&hide(&String::from_utf8_lossy(body)), MAX_EXCERPT);
    if text.is_empty() { "(empty)".to_owned() } else { text }
}

/// Replaces each secret by `placeholder`.
pub(super) fn redact(secrets: &[SecretString], placeholder: &str, text: &str) -> String {
    let secrets = secrets.iter().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty());
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret, placeholder))
}

/// When to retry, for the end of a sentence.
pub(super) fn when(after: Option<Duration>) -> String {
    after.map_or_else(|| "later".to_owned(), |after| format!("in {} s", after.as_secs().max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_has_no_part_of_a_secret() {
        let hide = |text: &str| redact(&["se-cret".into(), "".into()], "(it)", text);
        for (body, expected) in [
            (format!("{}se-cret{}", " ".repeat(4093), "x".repeat(9)), "(it)xxxxxxxxx".to_owned()),
            (format!("{}se-cret", "x".repeat(197)), format!("{}(it…", "x".repeat(197))),
            (" \n".to_owned(), "(empty)".to_owned()),
        ] {
            assert_eq!(excerpt(body.as_bytes(), hide), expected);
        }
    }
}
