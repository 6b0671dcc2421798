//! One function per type of value: checks a key's text or number and converts it.
//!
//! Pure; `section` applies them. A problem names what the value must be and never shows the value: it may be a secret in the
//! wrong key.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::SecretString;

use super::duration;
use crate::document::Node;
use crate::fault::{LocatedText, Place};
use crate::json::{Number, Value};
use accoil_mapping::nearest;

/// The beginning of Vitally's ready-made header.
const BASIC: &str = "Basic ";

/// What is wrong with a value, as the end of a sentence that begins with the key, and advice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) what: String,
    pub(super) advice: String,
}

pub(super) type Reading<T> = Result<T, Problem>;

impl Problem {
    pub(super) fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.into(), advice: advice.into() }
    }
}

/// A type whose values are words.
pub(super) trait Word: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

/// The type of a value, for messages.
fn kind(value: &Value<'_>) -> &'static str {
    match value {
        Value::Array(_) => "a list",
        Value::Object(_) => "a section",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "an integer",
        Value::String(_) | Value::Null => "a string",
    }
}

/// Text that is not empty.
pub(super) fn text(node: &Node<'_>) -> Reading<String> {
    match node.value.as_str() {
        Some("") => Err(Problem::new("is empty", "give it a value, or leave the key out")),
        Some(text) => Ok(text.to_owned()),
        None => {
            let what = format!("must be a string, not {}", kind(node.value));
            Err(Problem::new(what, "put it in double quotes"))
        }
    }
}

/// Text that fulfils a condition.
fn text_matching(
    node: &Node<'_>,
    holds: impl FnOnce(&str) -> bool,
    what: &'static str,
    advice: &'static str,
) -> Reading<String> {
    let text = text(node)?;
    if holds(&text) { Ok(text) } else { Err(Problem::new(what, advice)) }
}

/// The name of a source or destination in logs, metrics and commands.
pub(super) fn name(node: &Node<'_>) -> Reading<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text_matching(
        node,
        |name| name.len() <= 64 && name.bytes().all(is_allowed),
        "is not a usable name",
        "use 1 to 64 letters, digits, hyphens and underscores",
    )
}

/// Where a Vitally account holds a value: an attribute, or a trait by its flat key.
pub(super) fn member(node: &Node<'_>) -> Reading<String> {
    text_matching(
        node,
        |path| {
            ["externalId", "name"].contains(&path)
                || path.strip_prefix("traits.").is_some_and(|key| !key.is_empty())
        },
        "does not name a single value of a Vitally account",
        "write \"externalId\", \"name\" or \"traits.KEY\"",
    )
}

/// A secret of any form.
pub(super) fn secret(node: &Node<'_>) -> Reading<SecretString> {
    text(node).map(SecretString::from)
}

/// A secret that travels in an HTTP header.
pub(super) fn token(node: &Node<'_>) -> Reading<SecretString> {
    text_matching(
        node,
        |token| token.bytes().all(|byte| byte.is_ascii_graphic()),
        "contains a space, a line break or a character outside ASCII, which no key has",
        "copy the key again, without anything around it",
    )
    .map(SecretString::from)
}

/// The token of Accoil's read API.
pub(super) fn accoil_token(node: &Node<'_>) -> Reading<SecretString> {
    let text = text(node)?;
    if text.starts_with("sk_live_") || text.starts_with(BASIC) {
        return Err(Problem::new(
            "is a token of the wrong product, Vitally's",
            "use the one from Accoil under Settings > Product Settings > API Token; Vitally's is secret in [vitally]",
        ));
    }
    token(node)
}

/// Vitally's secret in either form that Vitally shows: the token, or the whole header (`docs/vitally.md#the-secret`).
pub(super) fn vitally_secret(node: &Node<'_>) -> Reading<SecretString> {
    let text = text(node)?;
    if text.starts_with("accoil_") {
        return Err(Problem::new(
            "is a token of the wrong product, Accoil's",
            "use the one from Vitally under Settings > Integrations > Vitally REST API; Accoil's is token in [accounts]",
        ));
    }
    let Some(encoded) = text.strip_prefix(BASIC) else { return token(node) };
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if encoded.is_empty() || !encoded.bytes().all(is_allowed) {
        return Err(Problem::new(
            "begins with Basic, and what follows is not base64",
            "copy the Basic Auth Header again, or give the Secret Token alone",
        ));
    }
    Ok(text.into())
}

/// A number without a sign. Text is accepted too, because environment variables are always text.
fn number(node: &Node<'_>) -> Option<u64> {
    match node.value {
        Value::Number(number) => Number::as_u64(number),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A whole number.
pub(super) fn integer<T: TryFrom<u32>>(range: RangeInclusive<u32>) -> impl Fn(&Node<'_>) -> Reading<T> {
    move |node| {
        let number = number(node).and_then(|number| u32::try_from(number).ok());
        number.filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok()).ok_or_else(
            || {
                let (least, most) = (range.start(), range.end());
                Problem::new("is not a whole number in range", format!("use one from {least} to {most}"))
            },
        )
    }
}

/// A number of bytes, up to 4 GiB.
pub(super) fn bytes(node: &Node<'_>) -> Reading<usize> {
    integer(1..=u32::MAX)(node)
}

/// A number of bytes on a disk, at least 1.
pub(super) fn size(node: &Node<'_>) -> Reading<u64> {
    match size_or_zero(node)? {
        0 => Err(Problem::new("must be at least 1", "write a whole number of bytes")),
        bytes => Ok(bytes),
    }
}

/// A number of bytes on a disk, or 0.
pub(super) fn size_or_zero(node: &Node<'_>) -> Reading<u64> {
    number(node)
        .filter(|number| i64::try_from(*number).is_ok())
        .ok_or_else(|| Problem::new("is not a whole number of bytes", "write one without quotes or unit"))
}

pub(super) fn switch(node: &Node<'_>) -> Reading<bool> {
    match node.value {
        Value::Bool(switch) => Ok(*switch),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        other => Err(Problem::new(
            format!("must be a boolean, not {}", kind(other)),
            "write true or false, without quotes",
        )),
    }
}

/// A duration longer than zero.
pub(super) fn duration(node: &Node<'_>) -> Reading<Duration> {
    let duration = duration_or_zero(node)?;
    if duration.is_zero() {
        return Err(Problem::new("must be longer than 0", "write a duration such as \"30s\""));
    }
    Ok(duration)
}

/// A duration, or zero.
pub(super) fn duration_or_zero(node: &Node<'_>) -> Reading<Duration> {
    let problem = || {
        Problem::new(
            "is not a duration",
            "write a whole number and a unit in quotes, such as \"250ms\", \"30s\", \"10m\", \"1h\" or \"7d\" \
             (366d at most)",
        )
    };
    node.value.as_str().and_then(duration::parse).ok_or_else(problem)
}

/// An address and a port to listen on.
pub(super) fn address(node: &Node<'_>) -> Reading<SocketAddr> {
    text(node)?.parse().map_err(|_| {
        Problem::new(
            "is not an IP address and a port",
            "write \"127.0.0.1:8080\" for this machine only, \"0.0.0.0:8080\" or \"[::]:8080\" for every interface",
        )
    })
}

/// One of several words.
pub(super) fn choice<T: Word>(node: &Node<'_>) -> Reading<T> {
    let text = text(node)?;
    T::WORDS.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice).ok_or_else(|| {
        let all: Vec<_> = T::WORDS.iter().map(|(word, _)| format!("{word:?}")).collect();
        let advice = nearest(&text, T::WORDS.iter().map(|(word, _)| *word))
            .map_or_else(|| "choose one of them".to_owned(), |word| format!("did you mean {word:?}?"));
        Problem::new(format!("must be {}", all.join(" or ")), advice)
    })
}

/// At least one string. An environment variable separates them with commas.
pub(super) fn list(node: &Node<'_>) -> Reading<Vec<String>> {
    located(node).map(|items| items.into_iter().map(|item| item.text).collect())
}

/// The same, each with its place.
pub(super) fn located(node: &Node<'_>) -> Reading<Vec<LocatedText>> {
    let strings = match (node.value, node.place()) {
        (Value::Array(_), _) => node
            .items()
            .map(|item| Ok(LocatedText { text: text(&item)?, place: item.place() }))
            .collect::<Reading<Vec<_>>>()?,
        (Value::String(text), place @ Place::Variable(_)) => text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| LocatedText { text: item.to_owned(), place: place.clone() })
            .collect(),
        (other, _) => {
            let what = format!("must be a list of strings, not {}", kind(other));
            return Err(Problem::new(what, "write [\"one\", \"two\"]"));
        }
    };
    if strings.is_empty() {
        return Err(Problem::new("is an empty list", "name at least one, or leave the key out"));
    }
    Ok(strings)
}

/// An `http://` or `https://` URL with a host and perhaps a path. The slash at its end is removed.
pub(super) fn base_url(node: &Node<'_>) -> Reading<String> {
    let url = text(node)?;
    let usable = |uri: &http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
            && !url.contains('#')
    };
    if url.parse::<http::Uri>().is_ok_and(|uri| usable(&uri)) {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    Err(Problem::new(
        "is not a base URL",
        "write http:// or https://, a host and perhaps a path, without user name, password, ? or #",
    ))
}

/// Vitally's base URL. A copied address may end in `/resources`.
pub(super) fn vitally_url(node: &Node<'_>) -> Reading<String> {
    base_url(node).map(|url| url.strip_suffix("/resources").map_or(url.clone(), str::to_owned))
}

/// One DNS label, converted to lower case. It becomes part of a host name, so nothing else is accepted.
pub(super) fn label(node: &Node<'_>) -> Reading<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let ends = |label: &str| label.starts_with('-') || label.ends_with('-');
    text_matching(
        node,
        |label| label.len() <= 63 && label.bytes().all(is_allowed) && !ends(label),
        "is not one part of a host name",
        "write only the part before the first dot, such as \"acme\"",
    )
    .map(|label| label.to_ascii_lowercase())
}
