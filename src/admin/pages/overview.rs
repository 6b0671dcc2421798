//! `/`: what came in, what became of it, and what needs a person's attention, on one page.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, Duration, Utc};
use http::StatusCode;

use super::chart::{self, Frame, Size};
use super::markup::Markup;
use super::shell::Shell;
use super::{assets, page, words};
use crate::admin::Admin;
use crate::admin::api::history::{self, SeriesQuery, SeriesView, SlotView};
use crate::admin::api::overview::{self, AttentionView, OverviewView};
use crate::admin::error::ApiError;
use crate::admin::moment::Moment;
use crate::admin::request::Parameters;

/// Bars of a chart; more slots are added together.
const MAX_BARS: i64 = 96;
/// The ranges that the page offers, and their names.
const RANGES: [(&str, &str); 5] = [
    ("-15m", "Last 15 minutes"),
    ("-1h", "Last hour"),
    ("-24h", "Last 24 hours"),
    ("-7d", "Last 7 days"),
    ("-30d", "Last 30 days"),
];
/// The shortest time of a chart: a shorter one would have only a few wide bars.
const LEAST_SHOWN: Duration = Duration::minutes(5);

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
    /// The time within which 95 of 100 recent calls were answered, in milliseconds; empty without calls.
    p95: String,
}

/// A picture, and the same values as a table.
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
    let view = match overview::view(&admin).await {
        Ok(view) => view,
        Err(error) => return shell.error(error),
    };
    let known = view.history.since.map_or_else(Duration::zero, |since| view.at - since);
    let from = from.filter(|from| !from.is_empty()).unwrap_or_else(|| usual_range(known).to_owned());
    let to = query.to.map_or(view.at, |to| to.0);
    let mut begin = from.parse::<Moment>().map_or(to, |from| from.0);
    if RANGES.iter().any(|(value, _)| *value == from) {
        // Without this, the time before the first event would be an empty part of every chart.
        begin = begin.max(to - known.max(LEAST_SHOWN));
    }
    if query.to.is_none() && query.step.is_none() && to - begin <= Duration::minutes(61) {
        query.step = Some("10s".to_owned());
    }
    query.from = Some(Moment(begin));
    query.to = Some(Moment(to));
    let charts = history::series_view(&admin, &query).await.map(|series| Charts::of(&series, begin, to));
    page(StatusCode::OK, &OverviewPage { shell, view, from, charts })
}

/// Returns the shortest range that contains everything of this age.
fn usual_range(known: Duration) -> &'static str {
    if known <= Duration::minutes(15) { "-15m" } else { "-1h" }
}

/// The layers of the bars: the names of counters, class, word.
const LAYERS: [(&[&str], &str, &str); 4] = [
    (&["delivered", "held"], "b-ok", "delivered"),
    (&["retried"], "b-wait", "tried again"),
    (&["rejected", "dead", "turned_away"], "b-fail", "failed"),
    (&["skipped", "duplicates"], "b-skip", "skipped"),
];

impl Charts {
    fn of(series: &SeriesView, from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        let slots = slots(series, from, to);
        let times: Vec<String> = slots.iter().map(|slot| label(slot, series.step)).collect();
        let marks = marks(series, &slots);
        let (call_times, p95) = call_times(&slots, &times);
        Self { events: events(&slots, &times, &marks), times: call_times, p95 }
    }
}

/// The content of one bar.
struct Slot<'s> {
    at: DateTime<Utc>,
    parts: &'s [SlotView],
}

/// Returns bars of equal length over the whole time. The series has no slots for times without events.
fn slots(series: &SeriesView, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Slot<'_>> {
    let step = series.step.max(1);
    let (first, last) = (from.timestamp().div_euclid(step), to.timestamp().div_euclid(step));
    let width = ((last - first + MAX_BARS) / MAX_BARS).max(1) * step;
    let mut rest = series.slots.as_slice();
    let mut slots = Vec::new();
    let mut at = first * step;
    while at <= last * step {
        let count = rest.iter().take_while(|slot| slot.at.timestamp() < at + width).count();
        let (parts, others) = rest.split_at(count);
        slots.push(Slot { at: DateTime::from_timestamp(at, 0).unwrap_or_default(), parts });
        rest = others;
        at += width;
    }
    slots
}

fn events(slots: &[Slot<'_>], times: &[String], marks: &[(usize, String)]) -> Chart {
    let sum = |slot: &Slot<'_>, names: &[&str]| {
        let counts = slot.parts.iter().flat_map(|slot| &slot.counts);
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
        (slot.at, cells.collect())
    });
    Chart {
        svg: Markup::chart(chart::bars(&frame, &layers)),
        heads: LAYERS.iter().map(|(_, _, word)| *word).collect(),
        rows: rows.collect(),
    }
}

fn call_times(slots: &[Slot<'_>], times: &[String]) -> (Chart, String) {
    let of = |slot: &Slot<'_>, p95: bool| {
        let times = slot.parts.iter().flat_map(|slot| &slot.times);
        let times = times.filter(|(name, _)| name.starts_with("call"));
        let seconds = times.filter_map(|(_, times)| if p95 { times.p95 } else { times.median });
        // An infinite bound would leave no room for the others.
        seconds.filter(|seconds| seconds.is_finite()).reduce(f64::max).map(|seconds| seconds * 1000.0)
    };
    let half: Vec<Option<f64>> = slots.iter().map(|slot| of(slot, false)).collect();
    let p95: Vec<Option<f64>> = slots.iter().map(|slot| of(slot, true)).collect();
    let last = p95.iter().flatten().next_back().map_or_else(String::new, |last| format!("{last:.0} ms"));
    let label = match last.as_str() {
        "" => "Time of a call: no call yet.".to_owned(),
        last => format!("Time of a call in milliseconds. Of 100 calls, 95 took {last} or less at the end."),
    };
    let frame =
        Frame { size: Size { width: 420, height: 180 }, label: &label, times, marks: &[], zoom: None };
    let text = |value: Option<&Option<f64>>| {
        value.copied().flatten().map_or_else(String::new, |value| format!("{value:.1} ms"))
    };
    let rows =
        slots.iter().enumerate().map(|(at, slot)| (slot.at, vec![text(half.get(at)), text(p95.get(at))]));
    let rows = rows.collect();
    let chart = Chart {
        svg: Markup::chart(chart::lines(&frame, &[("l50", half.clone()), ("l95", p95.clone())])),
        heads: vec!["half", "95 %"],
        rows,
    };
    (chart, last)
}

/// Returns the marks, each at its slot.
fn marks(series: &SeriesView, slots: &[Slot<'_>]) -> Vec<(usize, String)> {
    let place = |at: DateTime<Utc>| slots.iter().rposition(|slot| slot.at <= at);
    series.marks.iter().filter_map(|mark| Some((place(mark.at)?, mark.text.clone()))).collect()
}

fn label(slot: &Slot<'_>, step: i64) -> String {
    let format = if step >= 3600 { "%-d %b %H:%M" } else { "%H:%M" };
    slot.at.format(format).to_string()
}

#[expect(
    clippy::unused_self,
    clippy::trivially_copy_pass_by_ref,
    reason = "templates call methods of their page, with references"
)]
impl OverviewPage {
    fn ranges(&self) -> [(&'static str, &'static str); 5] {
        RANGES
    }

    /// Returns the page for an item.
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

    /// Returns the text of an item's button.
    fn button(&self, item: &AttentionView) -> &'static str {
        match item.kind.as_str() {
            "destination" => "Show calls",
            "failures" => "Show events",
            "turned_away" => "Show requests",
            "sync" => "Show syncs",
            "mappings" => "Show mappings",
            "key" => "Show destination",
            _ => "Show settings",
        }
    }

    /// Returns the word for an item in the strip.
    fn kind(&self, item: &AttentionView) -> String {
        let kind = match item.kind.as_str() {
            "failures" => "failed",
            "turned_away" => "turned away",
            other => other,
        };
        item.count.map_or_else(|| kind.to_owned(), |count| format!("{} {kind}", words::count(count)))
    }

    /// `10.6 %`: of all received events.
    fn share(&self, count: &u64) -> String {
        words::share(*count, self.view.counts.received)
    }

    /// `p95 92 ms a call`
    fn p95(&self) -> &str {
        self.charts.as_ref().map_or("", |charts| charts.p95.as_str())
    }

    fn is_range(&self, value: &str) -> bool {
        self.from == value
    }

    /// Returns whether nothing has arrived and nothing was refused since the start.
    fn is_new(&self) -> bool {
        self.view.counts.received == 0 && self.view.counts.turned_away == 0 && self.view.history.events == 0
    }
}
