//! Reads JSON documents from files or stdin for commands that answer each one. A document is one line or several.
//!
//! Every read is capped. A bad line does not affect the lines after it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::json::{self, Value};

/// A longer document is refused: it is the default limit of a webhook's body.
const MAX_BYTES: usize = 4 << 20;
const BUFFER: usize = 64 << 10;

/// Answers every document in order. `-` or an empty list of files means stdin. `answer` gets the document, or an error text, and
/// writes one answer.
pub(super) fn answer_each<W: Write>(
    files: &[PathBuf],
    output: W,
    mut answer: impl FnMut(Result<&str, String>, &mut BufWriter<W>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut output = BufWriter::with_capacity(BUFFER, output);
    let stdin = [PathBuf::from("-")];
    for file in if files.is_empty() { &stdin } else { files } {
        let input: Box<dyn Read> = if file == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(file).with_context(|| format!("cannot open {}", file.display()))?)
        };
        let mut documents = Documents::new(input);
        while let Some(document) =
            documents.next().with_context(|| format!("cannot read {}", file.display()))?
        {
            answer(document.as_deref().map_err(Clone::clone), &mut output)?;
            // Flush if the next read may block, so that a user who types lines sees each answer.
            if documents.is_waiting() {
                output.flush()?;
            }
        }
    }
    output.flush().map_err(Into::into)
}

/// The documents of one input.
struct Documents<R> {
    input: BufReader<R>,
    /// Lines that were read ahead of the current document.
    pending: VecDeque<Vec<u8>>,
}

type Document = Result<String, String>;

impl<R: Read> Documents<R> {
    fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(BUFFER, input), pending: VecDeque::new() }
    }

    /// Whether reading the next document may block.
    fn is_waiting(&self) -> bool {
        self.pending.is_empty() && self.input.buffer().is_empty()
    }

    /// The next document; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Document>> {
        loop {
            let Some(line) = self.line()? else { return Ok(None) };
            if !line.trim_ascii().is_empty() {
                return self.document(line).map(Some);
            }
        }
    }

    /// Reads the document that starts with this line.
    fn document(&mut self, first: Vec<u8>) -> io::Result<Document> {
        let mut scan = Scan::default();
        let mut whole = Vec::new();
        let mut ends = vec![first.len()];
        let mut line = first;
        loop {
            let end = scan.line(&line).map(|end| whole.len() + end);
            whole.append(&mut line);
            match end {
                Some(end) if ends.len() == 1 => return Ok(self.split(whole, end)),
                Some(end) if parses(whole.get(..end)) => return Ok(self.split(whole, end)),
                None if scan.is_open() && whole.len() <= MAX_BYTES => {}
                _ => break,
            }
            let Some(more) = self.line()? else { break };
            ends.push(whole.len() + more.len());
            line = more;
        }
        Ok(self.fall_back_to_lines(&whole, &ends))
    }

    /// Cuts the line after its document and keeps the rest, which may be another document.
    fn split(&mut self, mut whole: Vec<u8>, end: usize) -> Document {
        let rest = whole.get(end..).unwrap_or_default().trim_ascii_start();
        if rest.starts_with(b"{") || rest.starts_with(b"[") {
            self.pending.push_front(rest.to_vec());
            whole.truncate(end);
        }
        text(&whole)
    }

    /// Handles several lines that together are not a document. If a later line is a document by itself, only the first line is bad;
    /// otherwise all of them are one bad document.
    fn fall_back_to_lines(&mut self, whole: &[u8], ends: &[usize]) -> Document {
        let lines: Vec<&[u8]> =
            ends.windows(2).filter_map(|pair| whole.get(*pair.first()?..*pair.last()?)).collect();
        if !lines.iter().any(|line| parses(Some(line))) {
            return text(whole);
        }
        lines.iter().rev().for_each(|line| self.pending.push_front(line.to_vec()));
        text(whole.get(..ends.first().copied().unwrap_or_default()).unwrap_or_default())
    }

    /// Returns the next line with its end; of a line that is too long, its first bytes.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(line) = self.pending.pop_front() {
            return Ok(Some(line));
        }
        let mut line = Vec::new();
        self.input.by_ref().take(MAX_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
        if line.len() > MAX_BYTES && line.last() != Some(&b'\n') {
            self.input.skip_until(b'\n')?;
        }
        if let Some(rest) = line.strip_prefix(b"\xef\xbb\xbf") {
            // The byte order mark that some editors put at the start of a file.
            line = rest.to_vec();
        }
        Ok((!line.is_empty()).then_some(line))
    }
}

/// Whether a text is one JSON object or list.
fn parses(text: Option<&[u8]>) -> bool {
    let text = text.and_then(|text| str::from_utf8(text).ok()).unwrap_or_default().trim();
    text.starts_with(['{', '[']) && Value::parse_lenient(text, json::MAX_DEPTH).is_ok()
}

fn text(bytes: &[u8]) -> Document {
    if bytes.len() > MAX_BYTES {
        return Err(format!("the event is longer than {MAX_BYTES} bytes: send one event per line"));
    }
    str::from_utf8(bytes)
        .map(|text| text.trim().to_owned())
        .map_err(|_| "the line is not UTF-8: send JSON as UTF-8".to_owned())
}

/// Finds where a JSON object or list ends, by its brackets.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
}

impl Scan {
    /// Where the document ends in this line, if it ends here.
    fn line(&mut self, line: &[u8]) -> Option<usize> {
        let mut bytes = line.iter().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\\' if self.in_string => drop(bytes.next()),
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                // Text that is not an object or a list ends with its line.
                byte if self.depth == 0 && !byte.is_ascii_whitespace() => return None,
                _ => {}
            }
        }
        None
    }

    /// Whether more lines may follow. A JSON string cannot contain a line end.
    fn is_open(&self) -> bool {
        self.depth > 0 && !self.in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(input: &[u8]) -> Vec<String> {
        let mut documents = Documents::new(input);
        let mut all = Vec::new();
        while let Some(document) = documents.next().unwrap() {
            all.push(match document {
                Ok(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
                Err(reason) => format!("ERROR {reason}"),
            });
        }
        all
    }

    #[test]
    fn documents_are_lines_or_span_lines_or_share_one() {
        let input = "{\"a\": 1}\r\n\n \n{\n  \"b\": {\n    \"c\": \"}\\\"{\"\n  }\n}\n[\n  {\"d\": 1},\n{\"e\": 2}\n]\n{\"f\":1}{\"g\":2} {\"h\":\n3}\n";
        assert_eq!(
            documents(input.as_bytes()),
            [
                r#"{"a": 1}"#,
                r#"{ "b": { "c": "}\"{" } }"#,
                r#"[ {"d": 1}, {"e": 2} ]"#,
                r#"{"f":1}"#,
                r#"{"g":2}"#,
                r#"{"h": 3}"#
            ]
        );
    }

    #[test]
    fn a_bad_line_does_not_affect_the_others() {
        for (input, expected) in [
            ("{\"a\":1\n{\"b\":2}\n{\"c\":3}\n", vec!["{\"a\":1", "{\"b\":2}", "{\"c\":3}"]),
            ("{\"a\":\"x\n{\"b\":2}\n", vec!["{\"a\":\"x", "{\"b\":2}"]),
            ("nonsense\n{\"b\":2}\n", vec!["nonsense", "{\"b\":2}"]),
            ("{\"a\":1} and more\n{\"b\":2}", vec!["{\"a\":1} and more", "{\"b\":2}"]),
            // Pretty-printed with one fault in it: one bad document.
            ("{\n \"a\": 1,\n}\n{\n\"b\": 2\n}\n", vec!["{ \"a\": 1, }", "{ \"b\": 2 }"]),
        ] {
            assert_eq!(documents(input.as_bytes()), expected, "{input}");
        }
        let long = [b"{\"a\":\"".as_slice(), &vec![b'x'; MAX_BYTES], b"\"}\nt\xffo\n{\"b\":2}"].concat();
        insta::assert_snapshot!(documents(&long).join("\n"), @r#"
        ERROR the event is longer than 4194304 bytes: send one event per line
        ERROR the line is not UTF-8: send JSON as UTF-8
        {"b":2}
        "#);
    }
}
