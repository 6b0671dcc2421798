//! Filters on texts. They treat every value as the text that it prints.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Data, Filter, fault};
use crate::directive::ResolveError;
use crate::directive::liquid::render::length;
use crate::directive::resolved::Budget;
use crate::javascript;

pub(super) fn named(name: &str) -> Option<Filter> {
    let filter: Filter = match name {
        "append" => |value, arguments, budget| {
            let [argument] = arguments else {
                return Err(fault("the liquid filter `append` takes one argument"));
            };
            built(budget, &[&value.printed(), &argument.printed()])
        },
        "prepend" => |value, arguments, budget| {
            let [argument] = arguments else {
                return Err(fault("the liquid filter `prepend` takes one argument"));
            };
            built(budget, &[&argument.printed(), &value.printed()])
        },
        "upcase" => |value, _, budget| built(budget, &[&value.printed().to_uppercase()]),
        "downcase" => |value, _, budget| built(budget, &[&value.printed().to_lowercase()]),
        "capitalize" => capitalize,
        "strip" => |value, arguments, budget| strip(value, arguments, budget, true, true),
        "lstrip" => |value, arguments, budget| strip(value, arguments, budget, true, false),
        "rstrip" => |value, arguments, budget| strip(value, arguments, budget, false, true),
        "strip_newlines" => {
            |value, _, budget| built(budget, &[&value.printed().replace("\r\n", "").replace('\n', "")])
        }
        "normalize_whitespace" => |value, _, budget| built(budget, &[&words(&value.printed()).join(" ")]),
        "number_of_words" => number_of_words,
        "remove" => |value, arguments, budget| replace(value, &pattern(arguments), "", budget),
        "replace" => {
            |value, arguments, budget| replace(value, &pattern(arguments), &printed(arguments, 1), budget)
        }
        "remove_first" => |value, arguments, budget| {
            replace_at(value, &pattern(arguments), "", budget, |text, pattern| text.find(pattern))
        },
        "remove_last" => |value, arguments, budget| {
            replace_at(value, &pattern(arguments), "", budget, |text, pattern| text.rfind(pattern))
        },
        "replace_first" => |value, arguments, budget| {
            replace_at(value, &pattern(arguments), &printed(arguments, 1), budget, |text, pattern| {
                text.find(pattern)
            })
        },
        "replace_last" => |value, arguments, budget| {
            replace_at(value, &pattern(arguments), &printed(arguments, 1), budget, |text, pattern| {
                text.rfind(pattern)
            })
        },
        "split" => split,
        "truncate" => truncate,
        "truncatewords" => truncate_words,
        "escape" | "xml_escape" => |value, _, budget| built(budget, &[&escape(&value.printed())]),
        "escape_once" => |value, _, budget| built(budget, &[&escape(&unescape(&value.printed()))]),
        "strip_html" => |value, _, budget| built(budget, &[&strip_html(&value.printed())]),
        "url_encode" => {
            |value, _, budget| built(budget, &[&percent(&value.printed(), COMPONENT).replace("%20", "+")])
        }
        "cgi_escape" => {
            |value, _, budget| built(budget, &[&percent(&value.printed(), UNRESERVED).replace("%20", "+")])
        }
        "uri_escape" => |value, _, budget| built(budget, &[&percent(&value.printed(), WHOLE_URL)]),
        "url_decode" => url_decode,
        "base64_encode" => |value, _, budget| built(budget, &[&STANDARD.encode(value.printed().as_bytes())]),
        "base64_decode" => |value, _, budget| {
            let decoded = STANDARD.decode(value.printed().as_bytes());
            let decoded =
                decoded.map_err(|_| fault("the liquid filter `base64_decode` was given no base64"))?;
            built(budget, &[&String::from_utf8_lossy(&decoded)])
        },
        _ => return None,
    };
    Some(filter)
}

/// Joins the texts and charges the result to the budget.
fn built<'v>(budget: &Budget, parts: &[&str]) -> Result<Data<'v>, ResolveError> {
    budget.text(parts.iter().map(|part| part.len()).sum())?;
    Ok(Data::text(parts.concat()))
}

fn printed<'a>(arguments: &'a [Data<'_>], index: usize) -> Cow<'a, str> {
    arguments.get(index).map(Data::printed).unwrap_or_default()
}

fn pattern<'a>(arguments: &'a [Data<'_>]) -> Cow<'a, str> {
    printed(arguments, 0)
}

fn capitalize<'v>(value: &Data<'v>, _: &[Data<'v>], budget: &Budget) -> Result<Data<'v>, ResolveError> {
    let text = value.printed();
    let mut rest = text.chars();
    match rest.next() {
        // The first half of a character outside the basic plane has no upper case.
        Some(first) if first.len_utf16() == 1 => {
            built(budget, &[&first.to_uppercase().to_string(), &rest.as_str().to_lowercase()])
        }
        _ => built(budget, &[&text.to_lowercase()]),
    }
}

fn strip<'v>(
    value: &Data<'v>,
    arguments: &[Data<'v>],
    budget: &Budget,
    start: bool,
    end: bool,
) -> Result<Data<'v>, ResolveError> {
    let text = value.printed();
    let characters = printed(arguments, 0);
    let given = arguments.first().is_some_and(Data::is_given);
    let stripped = |character: char| {
        if given { characters.contains(character) } else { javascript::is_space(character) }
    };
    let mut kept = text.as_ref();
    if start {
        kept = kept.trim_start_matches(stripped);
    }
    if end {
        kept = kept.trim_end_matches(stripped);
    }
    built(budget, &[kept])
}

/// Splits the text at white space; the first or last part is empty if the text begins or ends with white space.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(javascript::is_space) {
        let (word, after) = rest.split_at(at);
        words.push(word);
        rest = after.trim_start_matches(javascript::is_space);
    }
    words.push(rest);
    words
}

fn number_of_words<'v>(
    value: &Data<'v>,
    arguments: &[Data<'v>],
    _: &Budget,
) -> Result<Data<'v>, ResolveError> {
    if !arguments.is_empty() {
        return Err(fault("the liquid filter `number_of_words` takes no argument here"));
    }
    let text = value.printed();
    let text = javascript::trim(&text);
    Ok(Data::Number(if text.is_empty() { 0.0 } else { length(words(text).len()) }))
}

/// Replaces every occurrence. An empty pattern occurs between all characters.
fn replace<'v>(
    value: &Data<'v>,
    pattern: &str,
    with: &str,
    budget: &Budget,
) -> Result<Data<'v>, ResolveError> {
    let text = value.printed();
    let count = if pattern.is_empty() { text.len() } else { text.matches(pattern).count() };
    budget.text(text.len() + count * with.len())?;
    if !pattern.is_empty() {
        return Ok(Data::text(text.replace(pattern, with)));
    }
    let mut out = String::new();
    for (index, character) in text.chars().enumerate() {
        if index > 0 {
            out.push_str(with);
        }
        out.push(character);
    }
    Ok(Data::text(out))
}

fn replace_at<'v>(
    value: &Data<'v>,
    pattern: &str,
    with: &str,
    budget: &Budget,
    find: fn(&str, &str) -> Option<usize>,
) -> Result<Data<'v>, ResolveError> {
    let text = value.printed();
    let Some(at) = find(&text, pattern) else { return built(budget, &[&text]) };
    let (before, after) = text.split_at(at);
    built(budget, &[before, with, after.get(pattern.len()..).unwrap_or_default()])
}

/// Drops empty last parts. An empty separator splits into characters.
fn split<'v>(value: &Data<'v>, arguments: &[Data<'v>], budget: &Budget) -> Result<Data<'v>, ResolveError> {
    let text = value.printed();
    let separator = match arguments.first() {
        None => Cow::Borrowed(""),
        Some(separator) => separator.printed(),
    };
    budget.text(text.len())?;
    let mut parts: Vec<Data<'v>> = if separator.is_empty() {
        budget.values(text.len())?;
        text.encode_utf16().map(Data::from_unit).collect()
    } else {
        budget.values(text.matches(separator.as_ref()).count())?;
        text.split(separator.as_ref()).map(Data::text).collect()
    };
    let is_empty = |part: &Data<'_>| matches!(part, Data::Text(text) if text.is_empty());
    while parts.pop_if(|last| is_empty(last)).is_some() {}
    Ok(Data::List(parts))
}

fn truncate<'v>(value: &Data<'v>, arguments: &[Data<'v>], budget: &Budget) -> Result<Data<'v>, ResolveError> {
    let most = match arguments.first() {
        None | Some(Data::Undefined) => 50.0,
        Some(most) => most.number(),
    };
    let dots = match arguments.get(1) {
        None | Some(Data::Undefined) => Cow::Borrowed("..."),
        Some(dots) => dots.printed(),
    };
    let text = value.printed();
    let units: Vec<u16> = text.encode_utf16().collect();
    if length(units.len()) <= most {
        return Ok(value.clone());
    }
    let kept = most - length(javascript::text_length(&dots));
    let kept = units.iter().copied().enumerate().take_while(|(index, _)| length(*index) + 1.0 <= kept);
    let kept: Vec<u16> = kept.map(|(_, unit)| unit).collect();
    built(budget, &[&String::from_utf16_lossy(&kept), &dots])
}

fn truncate_words<'v>(
    value: &Data<'v>,
    arguments: &[Data<'v>],
    budget: &Budget,
) -> Result<Data<'v>, ResolveError> {
    let most = match arguments.first() {
        None | Some(Data::Undefined) => 15.0,
        Some(most) => most.number(),
    };
    let dots = match arguments.get(1) {
        None | Some(Data::Undefined) => Cow::Borrowed("..."),
        Some(dots) => dots.printed(),
    };
    let most = if most <= 0.0 { 1.0 } else { most };
    let text = value.printed();
    let words = words(&text);
    let kept: Vec<&str> = words
        .iter()
        .enumerate()
        .take_while(|(index, _)| length(*index) + 1.0 <= most)
        .map(|(_, word)| *word)
        .collect();
    let dots = if length(words.len()) >= most { dots } else { Cow::Borrowed("") };
    built(budget, &[&kept.join(" "), &dots])
}

const ESCAPES: [(char, &str); 5] =
    [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&#34;"), ('\'', "&#39;")];

fn escape(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match ESCAPES.iter().find(|(plain, _)| *plain == character) {
            Some((_, escaped)) => out.push_str(escaped),
            None => out.push(character),
        }
    }
    out
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, here) = rest.split_at(at);
        out.push_str(before);
        let (plain, escaped) =
            ESCAPES.iter().find(|(_, escaped)| here.starts_with(escaped)).unwrap_or(&('&', "&"));
        out.push(*plain);
        rest = here.get(escaped.len()..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Removes scripts, styles, comments and tags. The search for the end of an opener that is never closed runs once.
fn strip_html(text: &str) -> String {
    let mut blocks = vec![("<script", "</script>"), ("<style", "</style>"), ("<!--", "-->"), ("<", ">")];
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, here) = rest.split_at(at);
        out.push_str(before);
        rest = here;
        let mut after = None;
        blocks.retain(|(opener, closer)| {
            let Some(inside) = here.strip_prefix(opener).filter(|_| after.is_none()) else { return true };
            after = inside.find(closer).and_then(|end| inside.get(end + closer.len()..));
            after.is_some()
        });
        match after {
            Some(after) => rest = after,
            None => break,
        }
    }
    out + rest
}

/// RFC 3986's unreserved characters.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The bytes that `encodeURIComponent` encodes.
const COMPONENT: &AsciiSet = &UNRESERVED.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');
/// The bytes that `encodeURI` encodes, except brackets.
const WHOLE_URL: &AsciiSet = &COMPONENT
    .remove(b';')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b',')
    .remove(b'#')
    .remove(b'[')
    .remove(b']');

fn percent(text: &str, encoded: &'static AsciiSet) -> String {
    utf8_percent_encode(text, encoded).to_string()
}

fn url_decode<'v>(value: &Data<'v>, _: &[Data<'v>], budget: &Budget) -> Result<Data<'v>, ResolveError> {
    let broken = || fault("the liquid filter `url_decode` was given a broken %-encoding");
    let text = value.printed();
    let is_code = |after: &str| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(is_code) {
        return Err(broken());
    }
    let decoded = percent_decode_str(&text).decode_utf8().map_err(|_| broken())?;
    built(budget, &[&decoded.replace('+', " ")])
}
