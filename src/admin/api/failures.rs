//! `/api/failures`: rejects and dead letters in groups with the same reason.

use std::collections::BTreeMap;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::events::EventLine;
use super::events::line::refusals;
use super::shared::ReasonView;
use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::request::{NoParameters, Parameters, PathName};
use crate::history::Redactor;
use crate::outbox::{self, Amount, Archive, DeadLetter, Group, Kind, StoredReject};
use crate::plain::plain;

/// The most groups of one answer, the largest ones.
const MAX_GROUPS: usize = 200;
/// The most members of a group that are counted by time and by name.
const MAX_COUNTED: usize = 5_000;
const MAX_NAMES: usize = 10;
const MAX_EVENTS: usize = 20;
/// The most characters of a text.
const MAX_TEXT: usize = 300;

/// What could not be delivered or mapped, and the number of waiting calls.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailuresView {
    /// Events that no mapping could use.
    pub rejects: AmountView,
    /// Calls that Accoil refused for good, or whose retries are used up.
    pub dead_letters: AmountView,
    /// Calls that wait to be delivered.
    pub waiting: AmountView,
    /// Requests that were refused since the start.
    pub turned_away: u64,
    /// The largest first.
    pub groups: Vec<GroupView>,
    /// There are more groups than these.
    pub is_cut: bool,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct AmountView {
    pub count: u64,
    pub bytes: u64,
}

/// Failures with the same reason.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct GroupView {
    /// The key of the group in `/api/failures/{key}`.
    pub key: String,
    /// `reject` or `dead-letter`.
    pub kind: String,
    /// For a person: `Track Calls: userId is missing`.
    pub title: String,
    pub code: String,
    pub reason: Option<ReasonView>,
    /// Of dead letters; empty for rejects.
    pub destination: String,
    pub mapping: String,
    /// The field that is wrong; only of rejects.
    pub field: String,
    /// What is wrong with the field, or how the last attempt failed.
    pub text: String,
    pub sources: Vec<String>,
    pub count: u64,
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    /// Selects its members: `select` of `POST /api/replays` and `POST /api/purges`.
    pub select: Value,
}

/// One group.
#[derive(Debug, Serialize, ToSchema)]
pub struct OneGroupView {
    #[serde(flatten)]
    pub group: GroupView,
    /// The number of failures in each hour that had any.
    pub by_hour: Vec<HourView>,
    /// The most frequent names of events.
    pub by_name: Vec<NameView>,
    /// The newest ones.
    pub events: Vec<EventLine>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct HourView {
    pub at: DateTime<Utc>,
    pub count: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct NameView {
    pub name: String,
    pub count: u64,
}

impl From<Amount> for AmountView {
    fn from(amount: Amount) -> Self {
        Self { count: amount.rows, bytes: amount.bytes }
    }
}

impl From<&Group> for GroupView {
    fn from(group: &Group) -> Self {
        let title = match group.kind {
            Kind::Reject => super::events::line::named(&group.mapping, &group.field, &group.text),
            Kind::DeadLetter => format!("{} {}", group.destination, group.text),
        };
        Self {
            key: key(group),
            kind: kind(group.kind).to_owned(),
            title: plain(&title, MAX_TEXT),
            code: group.code.clone(),
            reason: ReasonView::of_code(&group.code),
            destination: group.destination.clone(),
            mapping: group.mapping.clone(),
            field: group.field.clone(),
            text: plain(&group.text, MAX_TEXT),
            sources: vec![group.source.clone()],
            count: group.count,
            first: group.first,
            last: group.last,
            select: serde_json::json!({"kind": group.kind, "filter": group.filter()}),
        }
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Reject => "reject",
        Kind::DeadLetter => "dead-letter",
    }
}

fn key(group: &Group) -> String {
    format!("{:016x}", group.key)
}

pub async fn view(admin: &Admin) -> Result<FailuresView, ApiError> {
    let mut groups = admin.outbox().groups().await?;
    let is_cut = groups.len() > MAX_GROUPS;
    groups.truncate(MAX_GROUPS);
    let groups = without_hidden(admin, groups).await?;
    let usage = admin.outbox().usage();
    let turned_away = admin.facts().refused_requests().groups().iter().map(|(_, group)| group.count).sum();
    Ok(FailuresView {
        rejects: usage.rejects.into(),
        dead_letters: usage.dead_letters.into(),
        waiting: usage.waiting.into(),
        turned_away,
        is_cut,
        groups: groups.iter().map(GroupView::from).collect(),
    })
}

/// Hides the values that `[privacy]` names in the texts of groups: each text is made again of the newest member.
async fn without_hidden(admin: &Admin, mut groups: Vec<Group>) -> Result<Vec<Group>, ApiError> {
    let redactor = admin.redactor().clone();
    if redactor.is_off() {
        return Ok(groups);
    }
    let hide = move |archive: &Archive| {
        for group in &mut groups {
            group.text = shown_text(archive, group, &redactor)?;
        }
        Ok(groups)
    };
    read(admin, hide).await
}

/// Empty if the group has no member any more.
fn shown_text(
    archive: &Archive,
    group: &Group,
    redactor: &Redactor,
) -> Result<String, crate::outbox::ReadError> {
    let filter = group.filter();
    let (values, text, status) = match group.kind {
        Kind::Reject => {
            let Some(reject) = archive.newest_rejects(&filter, i64::MAX, 1)?.pop() else {
                return Ok(String::new());
            };
            let first = refusals(&reject.reasons).into_iter().next().unwrap_or_default();
            (redactor.find_in(&[&reject.original]), first.reason, None)
        }
        Kind::DeadLetter => {
            let letter = archive.newest_dead_letters(&filter, i64::MAX, 1)?.pop();
            let Some((letter, last)) =
                letter.and_then(|mut letter| letter.attempts.pop().map(|last| (letter, last)))
            else {
                return Ok(String::new());
            };
            (redactor.find_in(&[&letter.original, &letter.body]), last.reason, last.status)
        }
    };
    let hidden = values.hidden_in(&text).unwrap_or(text);
    Ok(outbox::group_text(&hidden, status))
}

/// Reads the failures on a thread that may block on the disk.
async fn read<T: Send + 'static>(
    admin: &Admin,
    query: impl FnOnce(&Archive) -> Result<T, crate::outbox::ReadError> + Send + 'static,
) -> Result<T, ApiError> {
    let outbox = admin.outbox().clone();
    let read = move || -> Result<T, ApiError> {
        let archive = outbox.archive().map_err(|error| ApiError::outbox(&error))?;
        Ok(query(&archive)?)
    };
    tokio::task::spawn_blocking(read).await.map_err(|_| ApiError::failed())?
}

pub async fn one_view(admin: &Admin, wanted: &str) -> Result<OneGroupView, ApiError> {
    let groups = admin.outbox().groups().await?;
    let Some(group) = groups.into_iter().find(|group| key(group) == wanted) else {
        let error = "there is no such group any more: its events were replayed, purged or became too old; \
                     GET /api/failures lists those that there are";
        return Err(ApiError::not_found(error));
    };
    let group = without_hidden(admin, vec![group]).await?.pop().ok_or_else(ApiError::failed)?;
    let (kind, filter) = (group.kind, group.filter());
    let redactor = admin.redactor().clone();
    let members = read(admin, move |archive| {
        Ok(match kind {
            Kind::Reject => {
                let rejects = archive.newest_rejects(&filter, i64::MAX, MAX_COUNTED)?;
                let line = |reject: &StoredReject| (reject.at, EventLine::of_reject(reject, &redactor));
                rejects.iter().map(line).collect::<Vec<_>>()
            }
            Kind::DeadLetter => {
                let letters = archive.newest_dead_letters(&filter, i64::MAX, MAX_COUNTED)?;
                let line = |letter: &DeadLetter| (letter.at, EventLine::of_dead_letter(letter, &redactor));
                letters.iter().map(line).collect()
            }
        })
    })
    .await?;
    let (mut by_hour, mut by_name) = (BTreeMap::<i64, u64>::new(), BTreeMap::<String, u64>::new());
    for (at, line) in &members {
        *by_hour.entry(at.timestamp().div_euclid(3600)).or_default() += 1;
        *by_name.entry(line.name.clone()).or_default() += 1;
    }
    let mut by_name: Vec<NameView> =
        by_name.into_iter().map(|(name, count)| NameView { name, count }).collect();
    by_name.sort_by_key(|name| std::cmp::Reverse(name.count));
    by_name.truncate(MAX_NAMES);
    let hour =
        |(hour, count): (i64, u64)| Some(HourView { at: DateTime::from_timestamp(hour * 3600, 0)?, count });
    Ok(OneGroupView {
        group: GroupView::from(&group),
        by_hour: by_hour.into_iter().filter_map(hour).collect(),
        by_name,
        events: members.into_iter().take(MAX_EVENTS).map(|(_, line)| line).collect(),
    })
}

/// What could not be delivered or mapped, by reason
#[utoipa::path(get, path = "/api/failures", responses((status = 200, body = FailuresView), (status = 503)))]
pub(in crate::admin) async fn list(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<FailuresView>, ApiError> {
    view(&admin).await.map(Json)
}

/// One reason: when it occurred, with which events, and the newest of them
#[utoipa::path(get, path = "/api/failures/{key}", params(("key" = String, Path, description = "The group's key")),
    responses((status = 200, body = OneGroupView), (status = 404), (status = 503)))]
pub(in crate::admin) async fn show(
    State(admin): State<Admin>,
    PathName(key): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<OneGroupView>, ApiError> {
    one_view(&admin, &key).await.map(Json)
}
