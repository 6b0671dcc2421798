//! Follows the bytes that a client sends to find the heads of requests, and detects bare line feeds in them.
//!
//! It reads only what delimits a request: Content-Length, chunked, chunk sizes. The parser refuses anything else that
//! is odd.

use memchr::memchr;

/// The bytes kept of a line that arrives in pieces: enough for the two headers that matter.
const MAX_LINE: usize = 128;
/// This byte is not printable and in no valid head, so the parser refuses it.
const UNREADABLE: u8 = 0;

#[derive(Debug, Default)]
pub(super) struct Heads {
    place: Place,
    /// The beginning of the current line.
    line: Vec<u8>,
    /// The previous byte.
    last: u8,
    length: u64,
    is_chunked: bool,
    /// The bytes of the head so far.
    head: usize,
    /// The number of heads that ended in the last bytes.
    ended: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Head,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    Trailer,
    /// No longer followed, because the parser will refuse the request.
    Lost,
}

impl Heads {
    /// Returns the bytes of a head that has not ended.
    pub(super) const fn unfinished(&self) -> usize {
        self.head
    }

    /// Returns whether more than one request began in the last bytes: the client does not wait for its answers.
    pub(super) const fn is_pipelined(&self) -> bool {
        self.ended > 1
    }

    /// Follows these bytes, and makes a bare line feed in a head unreadable.
    pub(super) fn check(&mut self, bytes: &mut [u8]) {
        self.ended = 0;
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.place {
                Place::Lost => return,
                Place::Body(left) => self.skip(rest, left, Place::Head, Place::Body),
                Place::Chunk(left) => self.skip(rest, left, Place::ChunkSize, Place::Chunk),
                Place::Head | Place::ChunkSize | Place::Trailer => self.line(rest),
            };
        }
    }

    fn skip<'b>(
        &mut self,
        rest: &'b mut [u8],
        left: u64,
        then: Place,
        still: fn(u64) -> Place,
    ) -> &'b mut [u8] {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let left = left - count as u64;
        self.place = if left == 0 { then } else { still(left) };
        self.last = 0;
        rest.get_mut(count..).unwrap_or_default()
    }

    fn line<'b>(&mut self, rest: &'b mut [u8]) -> &'b mut [u8] {
        let end = memchr(b'\n', rest);
        let (part, after) = rest.split_at_mut(end.map_or(rest.len(), |end| end + 1));
        if self.place == Place::Head {
            self.head += part.len();
        }
        let before = part.len().checked_sub(2).and_then(|place| part.get(place)).copied();
        let has_return = before.unwrap_or(self.last) == b'\r';
        self.last = part.last().copied().unwrap_or(self.last);
        if end.is_some() {
            if !has_return {
                part.iter_mut().rev().take(1).for_each(|byte| *byte = UNREADABLE);
                self.place = Place::Lost;
            } else if self.line.is_empty() {
                self.end_line(part);
            } else {
                self.begin_line(part);
                let mut line = std::mem::take(&mut self.line);
                self.end_line(&line);
                line.clear();
                self.line = line;
            }
        } else {
            self.begin_line(part);
        }
        after
    }

    /// Keeps the beginning of a line that arrives in pieces.
    fn begin_line(&mut self, part: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(part.get(..room).unwrap_or(part));
    }

    fn end_line(&mut self, line: &[u8]) {
        let text = line.trim_ascii();
        match self.place {
            Place::Head if text.is_empty() => {
                // Empty lines before a request are allowed.
                if self.head > 2 {
                    self.end_head();
                } else {
                    self.head = 0;
                }
            }
            Place::Head => self.header(text),
            Place::ChunkSize => {
                let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                let size = text.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok());
                self.place = match size.and_then(|size| u64::from_str_radix(size, 16).ok()) {
                    Some(0) => Place::Trailer,
                    // Including the end of its line.
                    Some(size) => Place::Chunk(size.saturating_add(2)),
                    None => Place::Lost,
                };
            }
            Place::Trailer if text.is_empty() => self.place = Place::Head,
            _ => {}
        }
    }

    fn header(&mut self, line: &[u8]) {
        let Some(colon) = memchr(b':', line) else { return };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = std::str::from_utf8(value).ok().and_then(|value| value.get(1..)?.trim().parse().ok());
            self.length = value.unwrap_or_default();
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.is_chunked = true;
        }
    }

    const fn end_head(&mut self) {
        self.place = match (self.is_chunked, self.length) {
            (true, _) => Place::ChunkSize,
            (false, 0) => Place::Head,
            (false, length) => Place::Body(length),
        };
        self.head = 0;
        self.ended += 1;
        self.length = 0;
        self.is_chunked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:  4 \r\n\r\na\nb\n";
    const CHUNKED: &str = "POST / HTTP/1.1\r\ntransfer-Encoding: chunked\r\n\r\n3;x=y\r\n\n\n\n\r\n1F\r\n0123456789\n123456789\n123456789\n\r\n0\r\nT: x\r\n\r\n";

    /// In pieces of every size.
    #[test]
    fn bare_line_feeds_are_found_in_heads_and_nowhere_else() {
        for (text, is_bad) in [
            (format!("{GET}{POST}\r\n{CHUNKED}{GET}"), false),
            (format!("{POST}{CHUNKED}{POST}GET / HTTP/1.1\nHost: h\r\n\r\n"), true),
            ("GET / HTTP/1.1\r\nHost: h\n\r\n".to_owned(), true),
            ("GET / HTTP/1.1\r\nHost: h\r\n\n".to_owned(), true),
        ] {
            for size in 1..text.len() {
                let (mut bytes, mut heads) = (text.clone().into_bytes(), Heads::default());
                bytes.chunks_mut(size).for_each(|piece| heads.check(piece));
                assert_eq!(bytes.contains(&UNREADABLE), is_bad, "{size}: {text:?}");
                assert_eq!(bytes == text.as_bytes(), !is_bad, "{size}");
                assert!(is_bad || (heads.unfinished() == 0 && heads.place == Place::Head), "{heads:?}");
            }
        }
    }

    #[test]
    fn an_unfinished_head_is_measured() {
        let mut heads = Heads::default();
        heads.check(&mut POST.as_bytes()[..20].to_vec());
        assert_eq!(heads.unfinished(), 20);
        heads.check(&mut POST.as_bytes()[20..].to_vec());
        assert_eq!(heads.unfinished(), 0);
    }
}
