//! An event as one line on a terminal: the same in `events list`, in `events tail` and in the demo.

use serde_json::Value;

use crate::plain::plain;

pub(in crate::cli) const HEADER: [&str; 7] =
    ["TIME", "STATUS", "EVENT", "USER", "SOURCE", "EVENT-ID", "OUTCOME"];
/// The width of each column of a single line; the last column has no limit.
const WIDTHS: [usize; 6] = [24, 9, 24, 20, 10, 13];

/// The columns.
pub(in crate::cli) fn cells(event: &Value) -> [String; 7] {
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    [text("at"), text("status"), name(event), text("user"), text("source"), text("id"), text("outcome")]
}

/// The event's name, or its type if it has none.
fn name(event: &Value) -> String {
    let name = event["name"].as_str().unwrap_or_default();
    if name.is_empty() { event["type"].as_str().unwrap_or_default().to_owned() } else { name.to_owned() }
}

/// One line, with columns of a fixed width.
pub(in crate::cli) fn line(event: &Value) -> String {
    let cells = cells(event);
    let mut line = String::new();
    for (index, cell) in cells.iter().enumerate() {
        let cell = plain(cell, 160);
        let cell = if cell.is_empty() { "-" } else { cell.as_str() };
        match WIDTHS.get(index) {
            Some(width) => {
                let shown: String = cell.chars().take(*width).collect();
                line.push_str(&shown);
                line.extend(std::iter::repeat_n(' ', width + 2 - shown.chars().count()));
            }
            None => line.push_str(cell),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_line_has_its_columns_and_no_control_characters() {
        let event = json!({
            "at": "2026-11-26T09:15:57.118Z", "status": "delivered", "name": "Invite\u{1b}[2J Sent", "user": "", "source": "web",
            "id": "6h1gq1xcc0000", "outcome": "202 in 52 ms"
        });
        let line = super::line(&event);
        assert_eq!(
            line,
            "2026-11-26T09:15:57.118Z  delivered  Invite [2J Sent           -                     web         \
             6h1gq1xcc0000  202 in 52 ms"
        );
    }
}
