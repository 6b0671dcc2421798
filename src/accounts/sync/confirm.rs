//! After a kill, before anything is delivered: which of the sync's calls that still wait has Accoil carried out already?
//!
//! A call that was in flight when the process was killed waits like the others. Accoil can be asked: if the account
//! has every trait that the call says, the call need not be made again. Where it is not sure, the call is made. Never
//! holds up a start for long.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt as _;
use serde_json::{Map, Value};

use super::SOURCE;
use crate::accounts::accoil::{Client, Expand, Lookup, Query};
use crate::outbox::chunk::Job;
use crate::outbox::{Outbox, ReadError, Settlement};

/// For all of it together; what is not known by then is delivered.
const PATIENCE: Duration = Duration::from_secs(10);
/// What Accoil shows of traits may be 15 minutes old (`seeds/accoil-get-accounts.txt`); with a margin.
const SHOWN_LATE: chrono::Duration = chrono::Duration::hours(1);
/// Accounts asked for at once.
const CONCURRENCY: usize = 8;

/// Settles those calls of the destination whose accounts the client reads; says how many there were. To be called before
/// the deliver stage is started.
pub async fn confirm(outbox: &Outbox, destination: &str, client: &Client) -> Result<usize, ReadError> {
    let mut confirmed = 0;
    // Late is no failure: what was not confirmed is delivered.
    let confirming = settle_carried_out(outbox, destination, client, &mut confirmed);
    tokio::time::timeout(PATIENCE, confirming).await.unwrap_or(Ok(()))?;
    // Else a call that was settled could still be read as one that waits.
    let _ = tokio::time::timeout(PATIENCE, outbox.flush()).await;
    Ok(confirmed)
}

async fn settle_carried_out(
    outbox: &Outbox,
    destination: &str,
    client: &Client,
    confirmed: &mut usize,
) -> Result<(), ReadError> {
    let mut waiting = outbox.waiting_of(SOURCE).await?;
    waiting.retain(|job| job.destination.as_str() == destination);
    leave_only_ones(&mut waiting);
    leave_changed(outbox, &mut waiting).await?;
    let mut asked = futures_util::stream::iter(waiting)
        .map(async |job| is_carried_out(client, &job).await.then_some(job))
        .buffer_unordered(CONCURRENCY);
    while let Some(job) = asked.next().await {
        if let Some(job) = job {
            *confirmed += 1;
            outbox.settle(vec![Settlement::Delivered { place: job.place, said: job.fingerprints }]);
        }
    }
    Ok(())
}

/// Where something else was said a short while ago, what Accoil shows may be older than that.
async fn leave_changed(outbox: &Outbox, waiting: &mut Vec<Job>) -> Result<(), ReadError> {
    let keys = waiting.iter().flat_map(|job| &job.fingerprints).map(|one| one.key).collect();
    let now = Utc::now();
    let lately = outbox.said_of(keys).await?.into_iter().filter(|(_, at)| now - *at < SHOWN_LATE);
    let lately: HashSet<u64> = lately.map(|(one, _)| one.key).collect();
    waiting.retain(|job| !job.fingerprints.iter().any(|one| lately.contains(&one.key)));
    Ok(())
}

/// Of several calls about one account the later ones tell what the earlier ones do not: all are made.
fn leave_only_ones(waiting: &mut Vec<Job>) {
    let mut count: HashMap<String, usize> = HashMap::new();
    for job in waiting.iter() {
        *count.entry(job.user.as_str().to_owned()).or_default() += 1;
    }
    waiting.retain(|job| count.get(job.user.as_str()) == Some(&1));
}

async fn is_carried_out(client: &Client, job: &Job) -> bool {
    let body: Value = serde_json::from_slice(&job.body).unwrap_or_default();
    let (Some(group), Some(said)) = (body["groupId"].as_str(), body["traits"].as_object()) else {
        return false;
    };
    let query = Query {
        lookup: Some(Lookup::Match { kind: "tracking_id".to_owned(), value: group.to_owned() }),
        expand: Expand { traits: true, ..Expand::default() },
        workspace_id: None,
    };
    let Ok(found) = client.get(&query).await else { return false };
    let Some(Value::Object(traits)) = found.account.traits else { return false };
    found.account.tracking_id.as_deref() == Some(group) && holds_all(&traits, said)
}

/// Whether the account has every trait that the call says, exactly.
fn holds_all(traits: &Map<String, Value>, said: &Map<String, Value>) -> bool {
    !said.is_empty() && said.iter().all(|(key, value)| traits.get(key) == Some(value))
}
