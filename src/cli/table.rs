//! Prints a table for people: a header, aligned columns, one row per line.
//!
//! Text from senders and Accoil is printed without characters that control a terminal.

use std::fmt::Write as _;
use std::io;

use crate::plain::plain;

/// Longer cells are cut.
const MAX_SHOWN: usize = 160;
/// The maximum width of every column but the last.
const MAX_WIDTH: usize = 40;

/// Writes the table. Without rows it is only the header.
pub(super) fn write<const N: usize>(
    output: &mut impl io::Write,
    header: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| shown(cell))).collect();
    let mut widths = header.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count()).min(MAX_WIDTH);
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
            let cell: String = cell.chars().take(MAX_WIDTH).collect();
            // Writing to a String cannot fail.
            let _ = write!(text, "{cell:width$}  ");
        }
    }
    writeln!(output, "{}", text.trim_end())
}

/// An empty cell is a dash, so that columns can be counted.
fn shown(text: &str) -> String {
    let text = plain(text, MAX_SHOWN);
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
