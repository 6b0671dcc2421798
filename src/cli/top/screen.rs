//! Draws the screen: counts with their rates, destinations, and failures by reason.
//!
//! Text from senders and from Accoil is drawn without characters that control a terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Row, Table};
use serde_json::Value;

use super::snapshot::Model;
use crate::plain::plain;

/// The names of counts, and where the overview has them.
const COUNTS: [(&str, &str); 9] = [
    ("received", "/counts/received"),
    ("accepted", "/counts/accepted"),
    ("skipped", "/counts/skipped"),
    ("duplicates", "/counts/duplicates"),
    ("rejected", "/counts/rejected"),
    ("refused requests", "/counts/turned_away"),
    ("delivered", "/counts/delivered"),
    ("retried", "/counts/retried"),
    ("dead letters", "/counts/dead"),
];
/// Attention items that are shown.
const MAX_ITEMS: usize = 4;
const MAX_TEXT: usize = 200;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>) {
    let destinations = list(&model.now.overview, "destinations");
    let items = list(&model.now.overview, "attention");
    let height = |rows: usize| Constraint::Length(u16::try_from(rows).unwrap_or(u16::MAX));
    let [head, counts, places, attention, failures, foot] = Layout::vertical([
        height(1),
        height(COUNTS.len() + 1),
        height(destinations.len() + 2),
        height(if items.is_empty() { 0 } else { items.len().min(MAX_ITEMS) + 1 }),
        Constraint::Min(3),
        height(1),
    ])
    .areas(frame.area());
    frame.render_widget(headline(model), head);
    draw_counts(model, frame, counts);
    draw_destinations(model, destinations, frame, places);
    draw_attention(items, frame, attention);
    draw_failures(model, frame, failures);
    frame.render_widget(footline(model), foot);
}

fn headline(model: &Model) -> Line<'static> {
    let stored = |name: &str| model.count(&format!("/stored/{name}/count"));
    let text = format!(
        "accoil-relay since {}: {} calls wait, {} rejects and {} dead letters are kept",
        text(&model.now.overview, "since"),
        stored("waiting"),
        stored("rejects"),
        stored("dead_letters"),
    );
    Line::styled(text, Modifier::BOLD)
}

fn footline(model: &Model) -> Line<'static> {
    match &model.lost {
        Some(error) => Line::styled(plain(error, MAX_TEXT), Color::Red),
        None => Line::styled("q ends it; counts are since the start", Modifier::DIM),
    }
}

fn draw_counts(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let rows = COUNTS.map(|(name, pointer)| {
        Row::new([name.to_owned(), model.count(pointer).to_string(), rate(model.rate(pointer))])
    });
    let widths = [Constraint::Length(18), Constraint::Length(12), Constraint::Length(10)];
    frame
        .render_widget(Table::new(rows, widths).header(header(["EVENTS, CALLS", "COUNT", "A SECOND"])), area);
}

fn draw_destinations(model: &Model, destinations: &[Value], frame: &mut Frame<'_>, area: Rect) {
    let row = |(at, one): (usize, &Value)| {
        let number = |key: &str| one[key].as_u64().unwrap_or_default().to_string();
        let state = text(one, "state");
        let colour = match state.as_str() {
            "ok" => Color::Green,
            "failing" | "paused" => Color::Yellow,
            _ => Color::Red,
        };
        let cells = [
            text(one, "name"),
            state,
            rate(model.rate(&format!("/destinations/{at}/delivered"))),
            number("in_flight"),
            number("waiting_users"),
            number("retried"),
            number("dead"),
            text(one, "reason"),
        ];
        Row::new(cells).style(Style::from(colour))
    };
    let widths = [20, 20, 10, 9, 10, 9, 9].map(Constraint::Length).into_iter().chain([Constraint::Min(10)]);
    let names = ["DESTINATION", "STATE", "A SECOND", "IN FLIGHT", "USERS WAIT", "RETRIED", "DEAD", "WHY"];
    let rows = destinations.iter().enumerate().map(row);
    frame.render_widget(Table::new(rows, widths).header(header(names)).block(above()), area);
}

fn draw_attention(items: &[Value], frame: &mut Frame<'_>, area: Rect) {
    let rows = items.iter().take(MAX_ITEMS).map(|item| Row::new([text(item, "text")]));
    let table = Table::new(rows, [Constraint::Min(10)]).header(header(["NEEDS ATTENTION"]));
    frame.render_widget(table.style(Color::Yellow), area);
}

fn draw_failures(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let row = |group: &Value| {
        let count = group["count"].as_u64().unwrap_or_default().to_string();
        Row::new([count, text(group, "code"), text(group, "title"), text(group, "last")])
    };
    let groups = list(&model.now.failures, "groups");
    let widths = [Constraint::Length(9), Constraint::Length(20), Constraint::Min(20), Constraint::Length(30)];
    let table = Table::new(groups.iter().map(row), widths);
    frame.render_widget(table.header(header(["FAILURES", "CODE", "WHAT", "LAST"])).block(above()), area);
}

fn header<const N: usize>(names: [&'static str; N]) -> Row<'static> {
    Row::new(names).style(Modifier::BOLD)
}

fn above() -> Block<'static> {
    Block::new().borders(Borders::TOP)
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value, name: &str) -> String {
    plain(value[name].as_str().unwrap_or_default(), MAX_TEXT)
}

/// `12.5`; empty before it is known.
fn rate(rate: Option<f64>) -> String {
    rate.map(|rate| format!("{rate:.1}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::super::snapshot::Snapshot;
    use super::*;

    fn snapshot(at: Instant, received: u64, since: &str) -> Snapshot {
        let overview = json!({
            "since": since,
            "counts": {"received": received, "accepted": received - 1, "rejected": 1, "delivered": 7},
            "stored": {"waiting": {"count": 3}, "rejects": {"count": 1}, "dead_letters": {"count": 0}},
            "attention": [{"text": "accoil is failing: answered 503."}],
            "destinations": [
                {"name": "accoil", "state": "failing", "delivered": received / 2, "in_flight": 1, "waiting_users": 2,
                 "retried": 4, "dead": 0, "reason": "answered 503\u{1b}[2J"},
                {"name": "other", "state": "ok", "delivered": 5, "in_flight": 0, "waiting_users": 0, "retried": 0,
                 "dead": 0, "reason": null},
            ],
        });
        let group = json!({"count": 1, "code": "reject.missing", "title": "Track Calls: userId is missing", "last": "2026-11-27T01:02:03Z"});
        Snapshot { at, overview, failures: json!({"groups": [group]}) }
    }

    fn drawn(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(model, frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn counts_rates_destinations_and_reasons_are_drawn() {
        let begin = Instant::now();
        let mut model = Model::new(snapshot(begin, 10, "today"));
        assert!(!drawn(&model, 110, 30).contains("0.0"), "no rate is known yet");
        model.add(snapshot(begin + Duration::from_secs(2), 35, "today"));
        insta::assert_snapshot!(drawn(&model, 110, 30));
        model.add(snapshot(begin + Duration::from_secs(3), 5, "later"));
        assert_eq!(model.rate("/counts/received"), None, "the relay has started again");
        model.lost = Some("no relay listens there".to_owned());
        assert!(drawn(&model, 110, 30).contains("no relay listens there"));
        drawn(&model, 5, 2);
    }
}
