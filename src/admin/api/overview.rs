//! `GET /api/overview`: how the relay is doing, what needs attention, and how much it stores.

use std::sync::atomic::Ordering;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::destinations::{self, DestinationView};
use super::failures::{self, AmountView, FailuresView};
use super::history::{self, HistoryView};
use super::{door, mappings};
use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::guard::Access;
use crate::admin::request::{NoParameters, Parameters};
use crate::reasons::Reason;

/// The most reasons of failures, and groups of refused requests, that are named.
const MAX_NAMED: usize = 3;

#[derive(Debug, Serialize, ToSchema)]
pub struct OverviewView {
    pub at: DateTime<Utc>,
    /// The beginning of the counts below.
    pub since: DateTime<Utc>,
    pub counts: CountsView,
    /// What needs attention, the most urgent first.
    pub attention: Vec<AttentionView>,
    pub sources: Vec<SourceView>,
    pub destinations: Vec<DestinationView>,
    pub stored: StoredView,
    pub history: HistoryView,
}

/// Events and calls since the start. Skipped, rejected and duplicate events count as received, too.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct CountsView {
    /// Refused requests; the number of their events is unknown.
    pub turned_away: u64,
    pub received: u64,
    pub accepted: u64,
    pub duplicates: u64,
    pub skipped: u64,
    pub rejected: u64,
    /// Counts calls, like all fields that follow.
    pub delivered: u64,
    pub held: u64,
    pub retried: u64,
    pub dead: u64,
}

/// Something that needs a person's attention.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttentionView {
    /// `storage`, `history`, `destination`, `failures`, `turned_away`, `sync`, `mappings` or `key`.
    pub kind: String,
    /// The name of a destination, a group of failures or a sync; empty if it concerns the whole relay.
    pub name: String,
    /// What happened.
    pub text: String,
    /// What to do.
    pub to_do: String,
    /// The number of events or calls that are concerned, if it is known.
    pub count: Option<u64>,
    pub since: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SourceView {
    pub name: String,
    /// `segment` or `amplitude`.
    pub kind: String,
    /// Counts since the start, like all fields that follow.
    pub received: u64,
    pub accepted: u64,
    pub duplicates: u64,
    pub skipped: u64,
    pub rejected: u64,
}

/// What the outbox stores.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoredView {
    pub waiting: AmountView,
    pub dead_letters: AmountView,
    pub rejects: AmountView,
    /// Bytes that may wait.
    pub max_bytes: u64,
    /// When the oldest event with a waiting call was received.
    pub oldest_waiting: Option<DateTime<Utc>>,
    /// The free bytes on the outbox's disk.
    pub free_disk: Option<u64>,
}

pub async fn view(admin: &Admin) -> Result<OverviewView, ApiError> {
    let sources: Vec<SourceView> = sources(admin);
    let destinations = destinations::view(admin).await?.destinations;
    let failures = failures::view(admin).await?;
    let counts = counts(&sources, &destinations, failures.turned_away);
    let usage = admin.outbox().usage();
    Ok(OverviewView {
        at: Utc::now(),
        since: admin.started().into(),
        attention: attention(admin, &destinations, &failures).await,
        counts,
        sources,
        destinations,
        stored: StoredView {
            waiting: usage.waiting.into(),
            dead_letters: usage.dead_letters.into(),
            rejects: usage.rejects.into(),
            max_bytes: admin.outbox().limits().0,
            oldest_waiting: admin.outbox().oldest_waiting().await?,
            free_disk: admin.outbox().free_disk(),
        },
        // A history that cannot be read must not hide the rest.
        history: history::view(admin).await.unwrap_or_default(),
    })
}

fn sources(admin: &Admin) -> Vec<SourceView> {
    let sources = admin.receiver().sources();
    let one = |source: &std::sync::Arc<crate::pipeline::Source>| {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &source.counts;
        let (accepted, duplicates) = (read(&counts.accepted), read(&counts.duplicates));
        let (skipped, rejected) = (read(&counts.skipped), read(&counts.rejected));
        SourceView {
            name: source.name.to_string(),
            kind: source.kind.name().to_owned(),
            received: accepted + duplicates + skipped + rejected,
            accepted,
            duplicates,
            skipped,
            rejected,
        }
    };
    sources.iter().map(one).collect()
}

fn counts(sources: &[SourceView], destinations: &[DestinationView], turned_away: u64) -> CountsView {
    let mut counts = CountsView { turned_away, ..CountsView::default() };
    for source in sources {
        counts.received += source.received;
        counts.accepted += source.accepted;
        counts.duplicates += source.duplicates;
        counts.skipped += source.skipped;
        counts.rejected += source.rejected;
    }
    for destination in destinations {
        counts.delivered += destination.delivered;
        counts.held += destination.held;
        counts.retried += destination.retried;
        counts.dead += destination.dead;
    }
    counts
}

async fn attention(
    admin: &Admin,
    destinations: &[DestinationView],
    failures: &FailuresView,
) -> Vec<AttentionView> {
    let mut found = Vec::new();
    if let Err(why) = admin.receiver().ready() {
        let to_do = "Free disk space or raise outbox.max_bytes; after a failed write restart the relay.";
        found.push(item("storage", "", &format!("The relay accepts no events: {why}."), to_do));
    }
    if let Some(why) = admin.history().paused() {
        let text = format!("The history records no events: {why}. They are delivered as before.");
        let to_do = "Free space on the disk of history.url, or see why it cannot be written. The history then goes on by itself.";
        found.push(item("history", "", &text, to_do));
    }
    found.extend(destinations.iter().filter_map(stopped));
    for group in failures.groups.iter().take(MAX_NAMED) {
        let to_do = group.reason.as_ref().map(|reason| reason.to_do.as_str()).unwrap_or_default();
        let text = format!("{}.", group.title);
        found.push(AttentionView {
            count: Some(group.count),
            since: Some(group.first),
            ..item("failures", &group.key, &text, to_do)
        });
    }
    let refused = door::view(admin, Access::Viewer { sees_payloads: false }).groups;
    // The beginning of an unreadable body is kept as a reject, which is among the failures.
    let refused = refused.iter().filter(|group| group.reason.code != Reason::Unreadable.code());
    for group in refused.take(MAX_NAMED) {
        let route = if group.route == "other" { "an unknown path" } else { group.route.as_str() };
        let text = format!("Requests at {route} were refused: {}.", group.reason.title);
        found.push(AttentionView {
            count: Some(group.count),
            since: Some(group.first),
            ..item("turned_away", &group.reason.code, &text, &group.reason.to_do)
        });
    }
    for run in admin.syncs().last().await.iter().filter(|run| !run.is_success()) {
        let text = format!("The last sync {} did not handle every account.", run.direction.name());
        found.push(item("sync", run.direction.name(), &text, "GET /api/sync has the reasons."));
    }
    let sources = admin.receiver().sources();
    for destination in sources.destinations() {
        for warning in &destination.mappings.warnings {
            let fault = mappings::fault(warning);
            found.push(item(
                "mappings",
                &destination.name,
                &fault.message,
                "`accoil-relay check` shows where.",
            ));
        }
    }
    found.extend(destinations.iter().filter_map(unconfirmed));
    found
}

fn item(kind: &str, name: &str, text: &str, to_do: &str) -> AttentionView {
    let [kind, name, text, to_do] = [kind, name, text, to_do].map(ToOwned::to_owned);
    AttentionView { kind, name, text, to_do, count: None, since: None }
}

/// Returns an item for a destination that gets no calls, or that fails.
fn stopped(destination: &DestinationView) -> Option<AttentionView> {
    if destination.state == "ok" {
        return None;
    }
    let reason = destination.reason.as_deref().unwrap_or_default();
    let text =
        format!("{} is {}: {reason}. Its calls wait; none is lost.", destination.name, destination.state);
    let to_do = destination.wait.as_ref().map_or("Nothing, if it recovers soon.", |wait| wait.to_do.as_str());
    Some(AttentionView {
        since: Some(destination.since),
        ..item("destination", &destination.name, &text, to_do)
    })
}

/// Returns an item for a destination whose key is not confirmed.
fn unconfirmed(destination: &DestinationView) -> Option<AttentionView> {
    let is_open = destination.key_confirmed_at.is_none() && destination.delivered > 0;
    if !is_open {
        return None;
    }
    let to_do = if destination.can_confirm_key {
        "`accoil-relay events verify USER`, with a user whose events were delivered, asks whether Accoil has it."
    } else {
        "Look for a user in Accoil; or configure [accounts], so that the relay can ask."
    };
    let text = format!(
        "The key of {} was never confirmed: Accoil answers 202 to a wrong key, too.",
        destination.name
    );
    Some(item("key", &destination.name, &text, to_do))
}

/// How the relay is doing, and what needs attention
#[utoipa::path(get, path = "/api/overview", responses((status = 200, body = OverviewView), (status = 503)))]
pub(in crate::admin) async fn show(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<OverviewView>, ApiError> {
    view(&admin).await.map(Json)
}
