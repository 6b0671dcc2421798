//! The tree of a liquid template: texts, outputs, and the tags that Segment leaves enabled.

use super::expression::{Chain, Operand, Reader};
use super::token::{Token, tag, tokens};

/// Tags that Segment disables.
const DISABLED: [&str; 6] = ["case", "for", "include", "layout", "render", "tablerow"];

#[derive(Debug)]
pub(super) enum Piece {
    Text(String),
    Output(Chain),
    /// The first branch whose condition holds.
    Choice(Vec<Branch>),
    Assign(String, Chain),
    Capture(String, Vec<Piece>),
    /// Prints a counter and then counts up, or counts down and then prints it.
    Count {
        name: String,
        down: bool,
    },
    /// Prints the next of its operands each time it runs. Cycles with the same text share their turn.
    Cycle {
        key: String,
        group: Option<Operand>,
        operands: Vec<Operand>,
    },
    /// `break` and `continue`, which outside loops end the template.
    Stop,
    /// The tags of a `liquid` tag.
    Block(Vec<Piece>),
}

#[derive(Debug)]
pub(super) struct Branch {
    /// `None`: `else`.
    pub(super) condition: Option<Chain>,
    /// The value that the condition must have: false for `unless`.
    pub(super) holds: bool,
    pub(super) pieces: Vec<Piece>,
}

type Tokens<'t> = std::vec::IntoIter<Token<'t>>;

pub(super) fn parse(template: &str) -> Result<Vec<Piece>, String> {
    all(&mut tokens(template)?.into_iter())
}

fn all(tokens: &mut Tokens<'_>) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    while let Some(token) = tokens.next() {
        pieces.extend(piece(token, tokens)?);
    }
    Ok(pieces)
}

/// The pieces up to one of the closing tags, which is given with its arguments.
fn until<'t>(
    closing: &[&str],
    opened: &str,
    tokens: &mut Tokens<'t>,
) -> Result<(Vec<Piece>, &'t str, &'t str), String> {
    let mut pieces = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            Token::Tag { name, arguments } if closing.contains(&name) => {
                return Ok((pieces, name, arguments));
            }
            token => pieces.extend(piece(token, tokens)?),
        }
    }
    Err(format!("the tag `{opened}` is not closed"))
}

fn piece(token: Token<'_>, tokens: &mut Tokens<'_>) -> Result<Option<Piece>, String> {
    let (name, arguments) = match token {
        Token::Text(text) => return Ok(Some(Piece::Text(text.to_owned()))),
        Token::Output(content) => return Ok(Some(Piece::Output(Reader::new(content).chain()?))),
        Token::Tag { name, arguments } => (name, arguments),
    };
    Ok(Some(match name {
        "if" => choice(arguments, tokens)?,
        "unless" => refusal(arguments, tokens)?,
        "assign" => assign(arguments)?,
        "capture" => capture(arguments, tokens)?,
        "increment" => Piece::Count { name: Reader::new(arguments).name().to_owned(), down: false },
        "decrement" => Piece::Count { name: Reader::new(arguments).name().to_owned(), down: true },
        "cycle" => cycle(arguments)?,
        "echo" if arguments.is_empty() => return Ok(None),
        "echo" => Piece::Output(Reader::new(arguments).chain()?),
        "break" | "continue" => Piece::Stop,
        "liquid" => {
            let lines: Result<Vec<_>, _> =
                arguments.split('\n').map(str::trim).filter(|line| !line.is_empty()).map(tag).collect();
            Piece::Block(all(&mut lines?.into_iter())?)
        }
        "raw" => match (tokens.next(), tokens.next()) {
            (Some(Token::Text(text)), Some(Token::Tag { .. })) => Piece::Text(text.to_owned()),
            _ => return Err("the tag `raw` is not closed".to_owned()),
        },
        "comment" => {
            let closed = tokens.any(|token| matches!(token, Token::Tag { name: "endcomment", .. }));
            return if closed { Ok(None) } else { Err("the tag `comment` is not closed".to_owned()) };
        }
        "#" => {
            let lines = arguments.split('\n').skip(1).map(str::trim).filter(|line| !line.is_empty());
            let silent = lines.into_iter().all(|line| line.starts_with('#'));
            return if silent { Ok(None) } else { Err("every line of a comment begins with `#`".to_owned()) };
        }
        name if DISABLED.contains(&name) => return Err(format!("Segment disables the tag `{name}`")),
        name => return Err(format!("there is no tag `{name}`")),
    }))
}

fn choice(condition: &str, tokens: &mut Tokens<'_>) -> Result<Piece, String> {
    let mut branches = Vec::new();
    let mut condition = Some(Reader::new(condition).chain()?);
    loop {
        let after_else = condition.is_none();
        let (pieces, closed, arguments) = until(&["elsif", "else", "endif"], "if", tokens)?;
        branches.push(Branch { condition, holds: true, pieces });
        condition = match closed {
            "elsif" if !after_else => Some(Reader::new(arguments).chain()?),
            "else" if !after_else && arguments.is_empty() => None,
            "endif" if arguments.is_empty() => return Ok(Piece::Choice(branches)),
            other => return Err(format!("`{other}` stands where it cannot in an `if`")),
        };
    }
}

/// Reads `unless`. It skips the text after a second `else` instead of refusing it.
fn refusal(condition: &str, tokens: &mut Tokens<'_>) -> Result<Piece, String> {
    let mut branches = Vec::new();
    let mut condition = Some(Reader::new(condition).chain()?);
    let mut elses = 0;
    loop {
        let (pieces, closed, arguments) = until(&["elsif", "else", "endunless"], "unless", tokens)?;
        if elses < 2 && !(condition.is_some() && elses > 0) {
            let holds = !branches.is_empty();
            branches.push(Branch { condition, holds, pieces });
        }
        condition = match closed {
            "elsif" if elses == 0 => Some(Reader::new(arguments).chain()?),
            "endunless" => return Ok(Piece::Choice(branches)),
            other => {
                // After an `else`, an `elsif` discards what follows it as a further `else` does.
                elses += if other == "else" { 1 } else { 2 };
                None
            }
        };
    }
}

fn assign(arguments: &str) -> Result<Piece, String> {
    let mut reader = Reader::new(arguments);
    let name = reader.name();
    if name.is_empty() || !reader.take("=") {
        return Err("`assign` is written {% assign name = value %}".to_owned());
    }
    Ok(Piece::Assign(name.to_owned(), reader.chain()?))
}

fn capture(arguments: &str, tokens: &mut Tokens<'_>) -> Result<Piece, String> {
    let name = Reader::new(arguments.trim_matches(['"', '\''])).name();
    if name.is_empty() {
        return Err("`capture` is written {% capture name %}".to_owned());
    }
    let (pieces, ..) = until(&["endcapture"], "capture", tokens)?;
    Ok(Piece::Capture(name.to_owned(), pieces))
}

fn cycle(arguments: &str) -> Result<Piece, String> {
    let mut reader = Reader::new(arguments);
    let first = reader.operand()?;
    let grouped = reader.take(":");
    let (group, mut operands) =
        if grouped { (first, Vec::new()) } else { (None, first.into_iter().collect()) };
    if grouped {
        operands.extend(reader.operand()?);
    }
    while reader.take(",") {
        operands.extend(reader.operand()?);
    }
    if operands.is_empty() || !reader.remaining().is_empty() {
        return Err("`cycle` is written {% cycle one, two %}".to_owned());
    }
    Ok(Piece::Cycle { key: arguments.to_owned(), group, operands })
}
