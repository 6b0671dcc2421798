//! Makes texts of other systems safe to print: puts them on one line, without characters that control a terminal.
//!
//! Every message that contains text from outside the relay must use it.

/// Returns the whole text on one line.
pub(crate) fn one_line(text: &str) -> String {
    plain(text, usize::MAX)
}

/// Returns the first `max_characters` characters of a text from outside the relay, on one line. White space and control characters between two words become one space.
pub(crate) fn plain(text: &str, max_characters: usize) -> String {
    let mut shown = String::new();
    let mut left = max_characters;
    for word in text
        .split(|sign: char| sign.is_whitespace() || is_terminal_control(sign))
        .filter(|word| !word.is_empty())
    {
        if left == 0 {
            shown.push('…');
            break;
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        let mut signs = word.chars();
        shown.extend(signs.by_ref().take(left));
        left = left.saturating_sub(word.chars().count() + 1);
        if signs.next().is_some() {
            shown.push('…');
            break;
        }
    }
    shown
}

/// Control characters, and characters that change the text direction.
pub(crate) fn is_terminal_control(sign: char) -> bool {
    sign.is_control() || matches!(sign, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the addresses of servers without user names and passwords, separated by commas.
pub(crate) fn without_credentials(servers: &[String]) -> String {
    let shown = servers.iter().map(|server| match (server.split_once("://"), server.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => server.clone(),
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::{plain, without_credentials};

    #[test]
    fn no_terminal_control_is_left() {
        for (text, max_characters, expected) in [
            ("TechCorp Solutions", 100, "TechCorp Solutions"),
            ("\u{1b}[31mred\u{7}\r\n\tnext\u{9b}2J", 100, "[31mred next 2J"),
            ("a\u{202e}b\u{2066}c", 100, "a b c"),
            ("  é🏢👩‍👩‍👧  ", 100, "é🏢👩‍👩‍👧"),
            ("one two three", 7, "one two…"),
            ("abcdef", 3, "abc…"),
            ("", 3, ""),
        ] {
            assert_eq!(plain(text, max_characters), expected, "{text:?}");
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        let servers = ["nats://me:secret@a:4222".to_owned(), "tls://b:4222".to_owned()];
        assert_eq!(without_credentials(&servers), "nats://a:4222,tls://b:4222");
    }
}
