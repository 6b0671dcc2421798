//! Commands that answer each line of stdin with a line of stdout: lines are capped, a bad one costs no other.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};

/// A longer line is refused: the longest body a webhook may send by default.
const MOST_BYTES: usize = 4 << 20;
const BUFFER: usize = 64 << 10;

/// Answers every line that is not blank, in order. `answer` gets the line, or what is wrong with it as a line, and
/// writes one JSON value.
pub(super) fn answer_each<W: Write>(
    input: impl Read,
    output: W,
    mut answer: impl FnMut(Result<&str, String>, &mut BufWriter<W>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let mut output = BufWriter::with_capacity(BUFFER, output);
    let mut line = Vec::new();
    while read(&mut input, &mut line)? {
        let text = match str::from_utf8(&line).map(str::trim) {
            _ if line.len() > MOST_BYTES => {
                Err(format!("the line is longer than {MOST_BYTES} bytes: send one event a line"))
            }
            Ok("") => continue,
            Ok(text) => Ok(text),
            Err(_) => Err("the line is not UTF-8: send JSON as UTF-8".to_owned()),
        };
        answer(text, &mut output)?;
        output.write_all(b"\n")?;
        // Whoever types lines sees each answer at once; a file is not slowed by it.
        if input.buffer().is_empty() {
            output.flush()?;
        }
    }
    output.flush().map_err(Into::into)
}

/// Reads a line, of one that is too long its first bytes; false at the end.
fn read(input: &mut BufReader<impl Read>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let most = MOST_BYTES as u64 + 1;
    input.take(most).read_until(b'\n', line)?;
    if line.len() > MOST_BYTES && line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
    }
    Ok(!line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_each_line_in_order_and_goes_on_after_a_bad_one() {
        let long = vec![b'x'; MOST_BYTES + 2];
        let input = [b"one\r\n\n \nt\xffo\n", long.as_slice(), b"\nthree"].concat();
        let mut output = Vec::new();
        answer_each(&*input, &mut output, |line, out| Ok(write!(out, "{line:?}")?)).unwrap();
        insta::assert_snapshot!(String::from_utf8(output).unwrap(), @r#"
        Ok("one")
        Err("the line is not UTF-8: send JSON as UTF-8")
        Err("the line is longer than 4194304 bytes: send one event a line")
        Ok("three")
        "#);
    }
}
