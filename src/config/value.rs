//! One function per type of value: checks a key's text or number and converts it.
//!
//! Pure; `section` applies them. A problem names what the value must be and never shows the value: it may be a secret in the
//! wrong key.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::SecretString;

use super::duration;
use super::tree::{Node, Origin, Value};
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

/// Text that is not empty.
pub(super) fn text(node: &Node) -> Reading<String> {
    match &node.value {
        Value::Text(text) if text.is_empty() => {
            Err(Problem::new("is empty", "give it a value, or leave the key out"))
        }
        Value::Text(text) => Ok(text.clone()),
        other => {
            Err(Problem::new(format!("must be a string, not {}", other.kind()), "put it in double quotes"))
        }
    }
}

/// Text that fulfils a condition.
fn text_matching(
    node: &Node,
    holds: impl FnOnce(&str) -> bool,
    what: &'static str,
    advice: &'static str,
) -> Reading<String> {
    let text = text(node)?;
    if holds(&text) { Ok(text) } else { Err(Problem::new(what, advice)) }
}

/// The name of a source or destination in logs, metrics and commands.
pub(super) fn name(node: &Node) -> Reading<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text_matching(
        node,
        |name| name.len() <= 64 && name.bytes().all(is_allowed),
        "is not a usable name",
        "use 1 to 64 letters, digits, hyphens and underscores",
    )
}

/// Where a Vitally account holds a value: an attribute, or a trait by its flat key.
pub(super) fn member(node: &Node) -> Reading<String> {
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
pub(super) fn secret(node: &Node) -> Reading<SecretString> {
    text(node).map(SecretString::from)
}

/// A secret that travels in an HTTP header.
pub(super) fn token(node: &Node) -> Reading<SecretString> {
    text_matching(
        node,
        |token| token.bytes().all(|byte| byte.is_ascii_graphic()),
        "contains a space, a line break or a character outside ASCII, which no key has",
        "copy the key again, without anything around it",
    )
    .map(SecretString::from)
}

/// The token of Accoil's read API.
pub(super) fn accoil_token(node: &Node) -> Reading<SecretString> {
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
pub(super) fn vitally_secret(node: &Node) -> Reading<SecretString> {
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

/// A whole number. Text is accepted too, because environment variables are always text.
pub(super) fn integer(range: RangeInclusive<u32>) -> impl Fn(&Node) -> Reading<usize> {
    move |node| {
        let number = match &node.value {
            Value::Whole(number) => u32::try_from(*number).ok(),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                Problem::new("is not a whole number in range", format!("use one from {least} to {most}"))
            })
    }
}

/// A number of bytes, up to 4 GiB.
pub(super) fn bytes(node: &Node) -> Reading<usize> {
    integer(1..=u32::MAX)(node)
}

/// A number of bytes on a disk, at least 1.
pub(super) fn size(node: &Node) -> Reading<u64> {
    match size_or_zero(node)? {
        0 => Err(Problem::new("must be at least 1", "write a whole number of bytes")),
        bytes => Ok(bytes),
    }
}

/// A number of bytes on a disk, or 0.
pub(super) fn size_or_zero(node: &Node) -> Reading<u64> {
    let number = match &node.value {
        Value::Whole(number) => u64::try_from(*number).ok(),
        Value::Text(text) => text.parse().ok().filter(|number| i64::try_from(*number).is_ok()),
        _ => None,
    };
    number.ok_or_else(|| Problem::new("is not a whole number of bytes", "write one without quotes or unit"))
}

pub(super) fn switch(node: &Node) -> Reading<bool> {
    match &node.value {
        Value::Switch(switch) => Ok(*switch),
        Value::Text(text) if text == "true" => Ok(true),
        Value::Text(text) if text == "false" => Ok(false),
        other => Err(Problem::new(
            format!("must be a boolean, not {}", other.kind()),
            "write true or false, without quotes",
        )),
    }
}

/// A duration longer than zero.
pub(super) fn duration(node: &Node) -> Reading<Duration> {
    let duration = duration_or_zero(node)?;
    if duration.is_zero() {
        return Err(Problem::new("must be longer than 0", "write a duration such as \"30s\""));
    }
    Ok(duration)
}

/// A duration, or zero.
pub(super) fn duration_or_zero(node: &Node) -> Reading<Duration> {
    let problem = || {
        Problem::new(
            "is not a duration",
            "write a whole number and a unit in quotes, such as \"250ms\", \"30s\", \"10m\", \"1h\" or \"7d\" \
             (366d at most)",
        )
    };
    match &node.value {
        Value::Text(text) => duration::parse(text).ok_or_else(problem),
        _ => Err(problem()),
    }
}

/// An address and a port to listen on.
pub(super) fn address(node: &Node) -> Reading<SocketAddr> {
    text(node)?.parse().map_err(|_| {
        Problem::new(
            "is not an IP address and a port",
            "write \"127.0.0.1:8080\" for this machine only, \"0.0.0.0:8080\" or \"[::]:8080\" for every interface",
        )
    })
}

/// One of several words.
pub(super) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&Node) -> Reading<T> {
    move |node| {
        let text = text(node)?;
        words.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice).ok_or_else(|| {
            let all: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            let advice = nearest(&text, words.iter().map(|(word, _)| *word))
                .map_or_else(|| "choose one of them".to_owned(), |word| format!("did you mean {word:?}?"));
            Problem::new(format!("must be {}", all.join(" or ")), advice)
        })
    }
}

/// At least one string. An environment variable separates them with commas.
pub(super) fn list(node: &Node) -> Reading<Vec<String>> {
    let strings = match (&node.value, &node.origin) {
        (Value::List(items), _) => items.iter().map(text).collect::<Reading<Vec<_>>>()?,
        (Value::Text(text), Origin::Variable(_)) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
        }
        (other, _) => {
            return Err(Problem::new(
                format!("must be a list of strings, not {}", other.kind()),
                "write [\"one\", \"two\"]",
            ));
        }
    };
    if strings.is_empty() {
        return Err(Problem::new("is an empty list", "name at least one, or leave the key out"));
    }
    Ok(strings)
}

/// An `http://` or `https://` URL with a host and perhaps a path. The slash at its end is removed.
pub(super) fn base_url(node: &Node) -> Reading<String> {
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

/// One DNS label, converted to lower case. It becomes part of a host name, so nothing else is accepted.
pub(super) fn label(node: &Node) -> Reading<String> {
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
