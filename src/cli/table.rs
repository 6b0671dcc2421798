//! A table for people: a header, columns of equal width, one row a line.
//!
//! What senders and Accoil wrote is shown without the characters that a terminal would obey.

use std::fmt::Write as _;
use std::io;

use crate::plain::plain;

/// A cell is cut to this many characters.
const MOST_SHOWN: usize = 160;
/// A column but the last is no wider.
const MOST_WIDTH: usize = 40;

/// Writes the table; nothing but the header if there are no rows.
pub(super) fn write<const N: usize>(
    output: &mut impl io::Write,
    header: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| shown(cell))).collect();
    let mut widths = header.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count()).min(MOST_WIDTH);
        }
    }
    line(output, &header.map(str::to_owned), widths)?;
    rows.iter().try_for_each(|row| line(output, row, widths))
}

fn line<const N: usize>(
    output: &mut impl io::Write,
    cells: &[String; N],
    widths: [usize; N],
) -> io::Result<()> {
    let mut text = String::new();
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if index + 1 == N {
            text.push_str(cell);
        } else {
            let cell: String = cell.chars().take(MOST_WIDTH).collect();
            // Writing to a String cannot fail.
            let _ = write!(text, "{cell:width$}  ");
        }
    }
    writeln!(output, "{}", text.trim_end())
}

/// An empty cell is a dash, so that columns can be counted.
fn shown(text: &str) -> String {
    let text = plain(text, MOST_SHOWN);
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_aligned_and_control_characters_are_gone() {
        let rows = [
            ["1".to_owned(), "Signed Up".to_owned(), "no\u{1b}[2J such".to_owned()],
            ["22".to_owned(), String::new(), "x".to_owned()],
        ];
        let mut text = Vec::new();
        super::write(&mut text, ["ID", "EVENT", "REASON"], &rows).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r"
        ID  EVENT      REASON
        1   Signed Up  no [2J such
        22  -          x
        ");
    }
}
