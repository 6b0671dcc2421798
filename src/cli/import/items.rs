//! Reads the events of a file to import: one a line, or the items of one JSON list; plain, or packed by gzip or zstd.
//!
//! Every read is capped. A bad line does not affect the lines after it. Memory does not depend on the size of the file.

use std::io::{self, BufRead as _, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

/// A longer event is refused, as a webhook's body is by default.
const MAX_BYTES: usize = 4 << 20;
const BUFFER: usize = 64 << 10;

/// An event of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The line at which it begins.
    pub(super) line: u64,
    /// Its text, or why there is none.
    pub(super) text: Result<String, String>,
}

pub(super) struct Items<R: Read> {
    input: BufReader<Input<R>>,
    line: u64,
    place: Place,
}

enum Place {
    Begin,
    Lines,
    List,
    AfterList,
}

/// What the beginning of the file says about its packing.
enum Input<R: Read> {
    Plain(BufReader<R>),
    Gzip(MultiGzDecoder<BufReader<R>>),
    Zstd(zstd::Decoder<'static, BufReader<R>>),
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Gzip(input) => input.read(buffer),
            Self::Zstd(input) => input.read(buffer),
        }
    }
}

impl<R: Read> Items<R> {
    pub(super) fn new(input: R) -> io::Result<Self> {
        let mut input = BufReader::with_capacity(BUFFER, input);
        let input = match input.fill_buf()? {
            [0x1f, 0x8b, ..] => Input::Gzip(MultiGzDecoder::new(input)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Input::Zstd(zstd::Decoder::with_buffer(input)?),
            _ => Input::Plain(input),
        };
        Ok(Self { input: BufReader::with_capacity(BUFFER, input), line: 1, place: Place::Begin })
    }

    /// Returns the next event; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Item>> {
        if matches!(self.place, Place::Begin) {
            self.skip_mark()?;
            self.skip_blanks(b"")?;
            self.place = if self.peek()? == Some(b'[') { Place::List } else { Place::Lines };
            if matches!(self.place, Place::List) {
                self.input.consume(1);
            }
        }
        match self.place {
            Place::List => self.of_list(),
            Place::AfterList => self.after_list(),
            Place::Begin | Place::Lines => self.of_line(),
        }
    }

    /// Skips the byte order mark that some editors put at the start of a file.
    fn skip_mark(&mut self) -> io::Result<()> {
        if self.input.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            self.input.consume(3);
        }
        Ok(())
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    /// Skips white space and these characters.
    fn skip_blanks(&mut self, others: &[u8]) -> io::Result<()> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() && !others.contains(&byte) {
                break;
            }
            self.line += u64::from(byte == b'\n');
            self.input.consume(1);
        }
        Ok(())
    }

    fn of_line(&mut self) -> io::Result<Option<Item>> {
        loop {
            let (line, mut text) = (self.line, Vec::new());
            self.input.by_ref().take(MAX_BYTES as u64 + 1).read_until(b'\n', &mut text)?;
            if text.is_empty() {
                return Ok(None);
            }
            if text.last() != Some(&b'\n') && text.len() > MAX_BYTES {
                self.input.skip_until(b'\n')?;
            }
            self.line += 1;
            if !text.trim_ascii().is_empty() {
                return Ok(Some(item(line, &text)));
            }
        }
    }

    fn of_list(&mut self) -> io::Result<Option<Item>> {
        self.skip_blanks(b",")?;
        let line = self.line;
        let (mut text, mut depth, mut in_string, mut is_escaped) = (Vec::new(), 0_u32, false, false);
        loop {
            let Some(byte) = self.peek()? else {
                let broken = "the list ends in the middle; the file may be cut off".to_owned();
                self.place = Place::AfterList;
                return Ok(Some(Item { line, text: Err(broken) }));
            };
            match byte {
                b']' if !in_string && depth == 0 => {
                    self.input.consume(1);
                    self.place = Place::AfterList;
                    return if text.is_empty() { self.after_list() } else { Ok(Some(item(line, &text))) };
                }
                b',' if !in_string && depth == 0 => return Ok(Some(item(line, &text))),
                b'"' if !is_escaped => in_string = !in_string,
                b'{' | b'[' if !in_string => depth += 1,
                b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
                b'\n' => self.line += 1,
                _ => {}
            }
            is_escaped = in_string && byte == b'\\' && !is_escaped;
            if text.len() <= MAX_BYTES {
                text.push(byte);
            }
            self.input.consume(1);
        }
    }

    fn after_list(&mut self) -> io::Result<Option<Item>> {
        self.skip_blanks(b"")?;
        if self.peek()?.is_none() {
            return Ok(None);
        }
        let line = self.line;
        io::copy(&mut self.input, &mut io::sink())?;
        Ok(Some(Item { line, text: Err("what follows the end of the list was not read".to_owned()) }))
    }
}

fn item(line: u64, text: &[u8]) -> Item {
    let text = if text.len() > MAX_BYTES {
        Err(format!("it is longer than {MAX_BYTES} bytes"))
    } else {
        match str::from_utf8(text).map(str::trim) {
            Ok(text) if text.starts_with('{') => Ok(text.to_owned()),
            Ok(_) => Err("it is no JSON object".to_owned()),
            Err(_) => Err("it is not UTF-8".to_owned()),
        }
    };
    Item { line, text }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<(u64, String)> {
        let mut items = Items::new(bytes).unwrap();
        let mut all = Vec::new();
        while let Some(Item { line, text }) = items.next().unwrap() {
            all.push((line, text.unwrap_or_else(|why| format!("! {why}"))));
        }
        all
    }

    #[test]
    fn events_are_found_in_lines_and_lists_whatever_packs_them() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BYTES));
        for (text, expected) in [
            ("", vec![]),
            ("\n \n", vec![]),
            ("{\"a\":1}\n\n{\"a\":2}", vec![(1, "{\"a\":1}"), (3, "{\"a\":2}")]),
            (
                "\u{feff}{\"a\":1}\r\nno\n{}\n",
                vec![(1, "{\"a\":1}"), (2, "! it is no JSON object"), (3, "{}")],
            ),
            ("[]", vec![]),
            (
                "\n[{\"a\":[1,2]},\n\n{\"b\":\"],}\\\"\"} ]\n",
                vec![(2, "{\"a\":[1,2]}"), (4, "{\"b\":\"],}\\\"\"}")],
            ),
            ("[1, {}]", vec![(1, "! it is no JSON object"), (1, "{}")]),
            ("[{},{\"a\":", vec![(1, "{}"), (1, "! the list ends in the middle; the file may be cut off")]),
            ("[{}]\n{}", vec![(1, "{}"), (2, "! what follows the end of the list was not read")]),
            (&format!("{long}\n{{}}"), vec![(1, "! it is longer than 4194304 bytes"), (2, "{}")]),
            (&format!("[{long},{{}}]"), vec![(1, "! it is longer than 4194304 bytes"), (1, "{}")]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(line, text)| (line, text.to_owned())).collect();
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(text.as_bytes()).unwrap();
            let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
            for packed in [text.as_bytes().to_vec(), gzip.finish().unwrap(), zstd] {
                assert_eq!(read(&packed), expected, "{}", text.get(..40).unwrap_or(text));
            }
        }
        assert_eq!(read(b"\xff{}\n{}\n"), [(1, "! it is not UTF-8".to_owned()), (2, "{}".to_owned())]);
    }
}
