//! `/`: what came in, what became of it, and what needs a person, on one page.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;

use super::chart::{self, Frame, Size};
use super::markup::Markup;
use super::shell::Shell;
use super::{assets, page, words};
use crate::admin::Admin;
use crate::admin::api::history::{self, SeriesQuery, SeriesView, SlotView};
use crate::admin::api::overview::{self, AttentionView, OverviewView};
use crate::admin::error::ApiError;
use crate::admin::request::Parameters;

/// Bars of a chart; more slots are added together.
const MAX_BARS: usize = 96;
/// Ranges that the page offers, and their words.
const RANGES: [(&str, &str); 4] =
    [("-1h", "Last hour"), ("-24h", "Last 24 hours"), ("-7d", "Last 7 days"), ("-30d", "Last 30 days")];

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    view: OverviewView,
    from: String,
    charts: Result<Charts, ApiError>,
}

struct Charts {
    events: Chart,
    times: Chart,
}

/// A picture, and the same as a table.
struct Chart {
    svg: Markup,
    heads: Vec<&'static str>,
    rows: Vec<(DateTime<Utc>, Vec<String>)>,
}

pub(super) async fn show(State(admin): State<Admin>, RawQuery(raw): RawQuery, shell: Shell) -> Response {
    let shell = shell.at("/");
    let raw = raw.unwrap_or_default();
    let mut query = match Parameters::<SeriesQuery>::read(&raw) {
        Ok(query) => query,
        Err(error) => return shell.error(error),
    };
    let mut pairs = form_urlencoded::parse(raw.as_bytes());
    let from = pairs.find(|(key, _)| key == "from").map(|(_, value)| value.into_owned());
    let from = from.filter(|from| !from.is_empty()).unwrap_or_else(|| "-1h".to_owned());
    if query.from.is_none() {
        query.from = from.parse().ok();
    }
    let view = match overview::view(&admin).await {
        Ok(view) => view,
        Err(error) => return shell.error(error),
    };
    let charts = history::series_view(&admin, &query).await.map(|series| Charts::of(&series));
    page(StatusCode::OK, &OverviewPage { shell, view, from, charts })
}

/// The layers of the bars: what counters begin with, class, word.
const LAYERS: [(&[&str], &str, &str); 4] = [
    (&["delivered", "held"], "b-ok", "delivered"),
    (&["retried"], "b-wait", "tried again"),
    (&["rejected", "dead", "turned_away"], "b-fail", "failed"),
    (&["skipped", "duplicates"], "b-skip", "skipped"),
];

impl Charts {
    fn of(series: &SeriesView) -> Self {
        let bars = series.slots.len().div_ceil(MAX_BARS).max(1);
        let slots: Vec<&[SlotView]> = series.slots.chunks(bars).collect();
        let times: Vec<String> = slots.iter().map(|slot| label(slot, series.step)).collect();
        let marks = marks(series, &slots);
        Self { events: events(&slots, &times, &marks), times: call_times(&slots, &times) }
    }
}

fn events(slots: &[&[SlotView]], times: &[String], marks: &[(usize, String)]) -> Chart {
    let sum = |slot: &[SlotView], names: &[&str]| {
        let counts = slot.iter().flat_map(|slot| &slot.counts);
        let counts = counts.filter(|(name, _)| names.contains(&name.split('/').next().unwrap_or_default()));
        counts.map(|(_, count)| count).sum::<u64>()
    };
    let layers: Vec<(&str, Vec<u64>)> = LAYERS
        .iter()
        .map(|(names, class, _)| (*class, slots.iter().map(|slot| sum(slot, names)).collect()))
        .collect();
    let total: u64 = layers.iter().flat_map(|(_, values)| values).sum();
    let failed: u64 = layers.get(2).map_or(0, |(_, values)| values.iter().sum());
    let label = format!("{} outcomes, {} of them failures.", words::count(total), words::count(failed));
    let frame =
        Frame { size: Size { width: 880, height: 180 }, label: &label, times, marks, zoom: Some("/events") };
    let rows = slots.iter().enumerate().map(|(at, slot)| {
        let cells = layers.iter().map(|(_, values)| words::count(values.get(at).copied().unwrap_or(0)));
        (begin(slot), cells.collect())
    });
    Chart {
        svg: Markup::chart(chart::bars(&frame, &layers)),
        heads: LAYERS.iter().map(|(_, _, word)| *word).collect(),
        rows: rows.collect(),
    }
}

fn call_times(slots: &[&[SlotView]], times: &[String]) -> Chart {
    let of = |slot: &[SlotView], p95: bool| {
        let times = slot.iter().flat_map(|slot| &slot.times);
        let times = times.filter(|(name, _)| name.starts_with("call"));
        let seconds = times.filter_map(|(_, times)| if p95 { times.p95 } else { times.median });
        // An infinite bound would leave no room for the others.
        seconds.filter(|seconds| seconds.is_finite()).reduce(f64::max).map(|seconds| seconds * 1000.0)
    };
    let half: Vec<Option<f64>> = slots.iter().map(|slot| of(slot, false)).collect();
    let p95: Vec<Option<f64>> = slots.iter().map(|slot| of(slot, true)).collect();
    let last = p95
        .iter()
        .flatten()
        .next_back()
        .map_or_else(|| "none yet".to_owned(), |last| format!("{last:.0} ms"));
    let label = format!("Time of a call in milliseconds; 95 of 100 calls took at most, at the end: {last}.");
    let frame =
        Frame { size: Size { width: 420, height: 180 }, label: &label, times, marks: &[], zoom: None };
    let text = |value: Option<&Option<f64>>| {
        value.copied().flatten().map_or_else(String::new, |value| format!("{value:.1} ms"))
    };
    let rows =
        slots.iter().enumerate().map(|(at, slot)| (begin(slot), vec![text(half.get(at)), text(p95.get(at))]));
    let rows = rows.collect();
    Chart {
        svg: Markup::chart(chart::lines(&frame, &[("l50", half.clone()), ("l95", p95.clone())])),
        heads: vec!["half", "95 %"],
        rows,
    }
}

/// The marks at the slots in which they lie.
fn marks(series: &SeriesView, slots: &[&[SlotView]]) -> Vec<(usize, String)> {
    let place = |at: DateTime<Utc>| slots.iter().rposition(|slot| begin(slot) <= at);
    series.marks.iter().filter_map(|mark| Some((place(mark.at)?, mark.text.clone()))).collect()
}

fn begin(slot: &[SlotView]) -> DateTime<Utc> {
    slot.first().map(|slot| slot.at).unwrap_or_default()
}

fn label(slot: &[SlotView], step: i64) -> String {
    let format = if step >= 3600 { "%-d %b %H:%M" } else { "%H:%M" };
    begin(slot).format(format).to_string()
}

#[expect(clippy::unused_self, reason = "templates call methods of their page")]
impl OverviewPage {
    fn ranges(&self) -> [(&'static str, &'static str); 4] {
        RANGES
    }

    /// Where a person goes on from an item.
    fn address(&self, item: &AttentionView) -> String {
        let name: String = form_urlencoded::byte_serialize(item.name.as_bytes()).collect();
        match item.kind.as_str() {
            "destination" | "key" => format!("/destinations/{name}"),
            "failures" => format!("/failures/{name}"),
            "turned_away" => "/failures/door".to_owned(),
            "sync" => "/syncs".to_owned(),
            "mappings" => "/mappings".to_owned(),
            _ => "/settings".to_owned(),
        }
    }

    fn tone(&self, item: &AttentionView) -> &'static str {
        match item.kind.as_str() {
            "storage" | "failures" | "turned_away" | "sync" => "fail",
            "key" | "mappings" => "skip",
            _ => "wait",
        }
    }

    fn is_range(&self, value: &str) -> bool {
        self.from == value
    }

    /// Nothing has arrived since the start, and nothing was turned away.
    fn is_new(&self) -> bool {
        self.view.counts.received == 0 && self.view.counts.turned_away == 0 && self.view.history.events == 0
    }
}
