//! `GET /api/history`: how far back the history goes, its size, and how many events it left out. `GET /api/series`: counts over time.

use std::collections::BTreeMap;

use axum::extract::State;
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::events::history_failed;
use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::moment::Moment;
use crate::admin::request::{NoParameters, Parameters};
use crate::history::{self, Step};

/// The most slots of one answer.
const MAX_SLOTS: i64 = 2_000;
/// The time that a series covers unless the request names one.
const USUAL_HOURS: i64 = 24;

/// The state of the history.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct HistoryView {
    /// Whether it is on. If it is off, only waiting calls and failures are known.
    pub is_on: bool,
    /// When the oldest event was received.
    pub since: Option<DateTime<Utc>>,
    pub events: u64,
    /// Events whose payload is kept.
    pub payloads: u64,
    /// The size of its file.
    pub bytes: u64,
    pub max_bytes: u64,
    /// Events that came faster than they could be recorded, since the start.
    pub events_left_out: u64,
    /// Events that are recorded without their payload for the same reason, since the start.
    pub payloads_left_out: u64,
    /// Attempts that came faster than they could be recorded, since the start.
    pub outcomes_left_out: u64,
    /// Events that came while the file could not be written, since the start.
    pub not_recorded: u64,
    /// Why nothing is recorded at the moment, if so.
    pub paused: Option<String>,
    /// Open live views.
    pub viewers: usize,
}

pub async fn view(admin: &Admin) -> Result<HistoryView, ApiError> {
    let reader = admin.history().clone();
    if !reader.is_on() {
        return Ok(HistoryView::default());
    }
    let state = tokio::task::spawn_blocking(move || reader.state()).await;
    let state = state.map_err(|_| ApiError::failed())?.map_err(|error| history_failed(&error))?;
    Ok(HistoryView {
        is_on: true,
        since: state.since,
        events: state.events,
        payloads: state.payloads,
        bytes: state.bytes,
        max_bytes: state.max_bytes,
        events_left_out: state.left_out.events,
        payloads_left_out: state.left_out.payloads,
        outcomes_left_out: state.left_out.outcomes,
        not_recorded: state.not_recorded,
        paused: state.paused,
        viewers: state.viewers,
    })
}

/// How far back the history goes, and how many events it left out
#[utoipa::path(get, path = "/api/history", responses((status = 200, body = HistoryView), (status = 503)))]
pub(in crate::admin) async fn show(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<HistoryView>, ApiError> {
    view(&admin).await.map(Json)
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SeriesQuery {
    /// The beginning; 24 hours ago by default.
    #[param(value_type = Option<String>)]
    pub from: Option<Moment>,
    /// The end; now by default.
    #[param(value_type = Option<String>)]
    pub to: Option<Moment>,
    /// The length of a slot: `10s` (the last hour only), `1m` or `1h`. By default the shortest that fits.
    pub step: Option<String>,
}

/// Counts over time, the oldest slot first.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeriesView {
    /// The length of a slot in seconds.
    pub step: i64,
    pub slots: Vec<SlotView>,
    /// Changes of state in this time.
    pub marks: Vec<MarkView>,
}

/// The counts of a slot. Names have parts separated by slashes: `accepted/web`, `delivered/accoil`.
#[derive(Debug, Serialize, ToSchema)]
pub struct SlotView {
    pub at: DateTime<Utc>,
    pub counts: BTreeMap<String, u64>,
    /// The level at the slot's end.
    pub levels: BTreeMap<String, u64>,
    pub times: BTreeMap<String, TimesView>,
}

/// Durations in seconds: the upper bounds of the buckets with the median and with the 95th percentile.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimesView {
    pub count: u64,
    pub median: Option<f64>,
    pub p95: Option<f64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MarkView {
    pub at: DateTime<Utc>,
    pub kind: String,
    pub text: String,
}

pub async fn series_view(admin: &Admin, query: &SeriesQuery) -> Result<SeriesView, ApiError> {
    let to = query.to.map_or_else(Utc::now, |moment| moment.0);
    let from = query.from.map_or_else(|| to - Duration::hours(USUAL_HOURS), |moment| moment.0);
    if from >= to {
        return Err(ApiError::invalid("from must lie before to"));
    }
    let step = step(query.step.as_deref(), from, to)?;
    if (to - from).num_milliseconds() / step.milliseconds() > MAX_SLOTS {
        return Err(ApiError::invalid(format!(
            "that would be more than {MAX_SLOTS} slots: ask for a shorter time, or a longer step"
        )));
    }
    let reader = admin.history().clone();
    let read = move || Ok((reader.series(from, to, step)?, reader.marks(from, to)?));
    let read = tokio::task::spawn_blocking(read).await.map_err(|_| ApiError::failed())?;
    let (slots, marks) = read.map_err(|error| history_failed(&error))?;
    let mark = |mark: history::Mark| MarkView { at: mark.at, kind: mark.kind, text: mark.text };
    Ok(SeriesView {
        step: step.milliseconds() / 1000,
        slots: slots.into_iter().map(slot).collect(),
        marks: marks.into_iter().map(mark).collect(),
    })
}

fn step(text: Option<&str>, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Step, ApiError> {
    match text {
        Some("10s") => Ok(Step::TenSeconds),
        Some("1m") => Ok(Step::Minute),
        Some("1h") => Ok(Step::Hour),
        Some(_) => Err(ApiError::invalid("step is 10s, 1m or 1h")),
        None if to - from <= Duration::hours(1) && Utc::now() - from <= Duration::hours(1) => {
            Ok(Step::TenSeconds)
        }
        None if to - from <= Duration::hours(USUAL_HOURS) => Ok(Step::Minute),
        None => Ok(Step::Hour),
    }
}

fn slot(slot: history::Slot) -> SlotView {
    let named = |counts: BTreeMap<std::sync::Arc<str>, u64>| {
        counts.into_iter().map(|(name, count)| (name.to_string(), count)).collect()
    };
    let times = |(name, times): (std::sync::Arc<str>, history::Times)| {
        let view = TimesView { count: times.count(), median: times.quantile(0.5), p95: times.quantile(0.95) };
        (name.to_string(), view)
    };
    SlotView {
        at: DateTime::from_timestamp_millis(slot.at).unwrap_or_default(),
        counts: named(slot.counts),
        levels: named(slot.levels),
        times: slot.times.into_iter().map(times).collect(),
    }
}

/// Counts over time, and changes of state
#[utoipa::path(get, path = "/api/series", params(SeriesQuery),
    responses((status = 200, body = SeriesView), (status = 503)))]
pub(in crate::admin) async fn series(
    State(admin): State<Admin>,
    Parameters(query): Parameters<SeriesQuery>,
) -> Result<Json<SeriesView>, ApiError> {
    series_view(&admin, &query).await.map(Json)
}
