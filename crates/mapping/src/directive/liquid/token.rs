//! Cuts a liquid template into text, outputs and tags, and applies whitespace control (`{{-`, `-%}`).
//!
//! The rules are those of LiquidJS: quotes matter inside outputs but not inside tags, `{% raw %}` runs to its `endraw`.
//! Linear in the template, which is short (`super::MAX_LENGTH`).

/// One token. Texts are slices of the template.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'t> {
    Text(&'t str),
    Output(&'t str),
    Tag { name: &'t str, arguments: &'t str },
}

/// Whether a token trims the text before it and after it.
type Trim = (bool, bool);

/// LiquidJS's blanks.
pub(super) fn is_blank(character: char) -> bool {
    matches!(character, '\t'..='\r' | ' ' | '\u{a0}' | '\u{1680}' | '\u{180e}' | '\u{2000}'..='\u{200a}')
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// The characters of names.
pub(super) fn is_word(character: char) -> bool {
    let quotes = matches!(character, '\u{201c}' | '\u{201d}');
    match character {
        '-' | '?' | '_' => true,
        ascii if ascii.is_ascii() => ascii.is_ascii_alphanumeric(),
        other => !is_blank(other) && !quotes,
    }
}

pub(super) fn tokens(template: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens: Vec<(Token<'_>, Trim)> = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        let token = if let Some(inside) = rest.strip_prefix("{%") {
            let end = inside.find("%}").ok_or("a tag is not closed: `%}` is missing")?;
            let (content, trim) = delimited(inside.get(..end).unwrap_or_default());
            rest = inside.get(end + 2..).unwrap_or_default();
            (tag(content)?, trim)
        } else if let Some(inside) = rest.strip_prefix("{{") {
            let end = output_end(inside).ok_or("an output is not closed: `}}` is missing")?;
            let (content, trim) = delimited(inside.get(..end).unwrap_or_default());
            rest = inside.get(end + 2..).unwrap_or_default();
            (Token::Output(content), trim)
        } else {
            let end = [rest.find("{%"), rest.find("{{")].into_iter().flatten().min().unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            rest = after;
            (Token::Text(text), (false, false))
        };
        let raw = matches!(token.0, Token::Tag { name: "raw", .. });
        tokens.push(token);
        if raw {
            let start = raw_end(rest).ok_or("`raw` is not closed: `{% endraw %}` is missing")?;
            let (text, after) = rest.split_at(start);
            rest = after;
            tokens.push((Token::Text(text), (false, false)));
        }
    }
    Ok(trimmed(&tokens))
}

/// Returns the place of an output's `}}`, ignoring quoted text.
fn output_end(inside: &str) -> Option<usize> {
    let mut quoted: Option<char> = None;
    let mut escaped = false;
    for (at, character) in inside.char_indices() {
        match quoted {
            Some(quote) => {
                if character == quote && !escaped {
                    quoted = None;
                }
                escaped = character == '\\' && !escaped;
            }
            None if matches!(character, '"' | '\'') => quoted = Some(character),
            None if inside.get(at..).is_some_and(|here| here.starts_with("}}")) => return Some(at),
            None => {}
        }
    }
    None
}

/// Returns the place where the `{% endraw %}` of a `raw` begins.
fn raw_end(text: &str) -> Option<usize> {
    text.match_indices("{%").map(|(at, _)| at).find(|at| {
        let inside = text.get(at + 2..).unwrap_or_default().trim_start_matches(is_blank);
        inside.strip_prefix("endraw").is_some_and(|after| !after.starts_with(is_word))
    })
}

/// Returns the content between delimiters, and the sides on which a hyphen asks for trimming.
fn delimited(content: &str) -> (&str, Trim) {
    let before = content.starts_with('-');
    let after = content.ends_with('-') && !(before && content.len() == 1);
    let content = content.strip_prefix('-').unwrap_or(content);
    let content = if after { content.strip_suffix('-').unwrap_or(content) } else { content };
    (content.trim_matches(is_blank), (before, after))
}

/// Splits a tag into its name and the rest.
pub(super) fn tag(content: &str) -> Result<Token<'_>, String> {
    let length = match content.strip_prefix('#') {
        Some(_) => 1,
        None => content.find(|character| !is_word(character)).unwrap_or(content.len()),
    };
    let (name, arguments) = content.split_at(length);
    if name.is_empty() {
        return Err("a tag needs a name".to_owned());
    }
    Ok(Token::Tag { name, arguments: arguments.trim_start_matches(is_blank) })
}

/// Returns the tokens without the blanks that trimming removes.
fn trimmed<'t>(tokens: &[(Token<'t>, Trim)]) -> Vec<Token<'t>> {
    let mut raw = false;
    let mut kept: Vec<Token<'t>> = Vec::with_capacity(tokens.len());
    let mut trim_next = false;
    for (token, (before, after)) in tokens {
        if let Token::Text(text) = token {
            kept.push(Token::Text(if trim_next { text.trim_start_matches(is_blank) } else { text }));
            trim_next = false;
            continue;
        }
        if let (Some(Token::Text(text)), true, false) = (kept.last_mut(), *before, raw) {
            *text = text.trim_end_matches(is_blank);
        }
        match token {
            Token::Tag { name: "raw", .. } => raw = true,
            Token::Tag { name: "endraw", .. } => raw = false,
            _ => {}
        }
        trim_next = *after && !raw;
        kept.push(*token);
    }
    kept
}
