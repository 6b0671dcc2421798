//! The stream that holds the outbox: created if it is missing, checked, and described in words. What "accepted" means depends
//! on its replicas and on when the servers sync.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, StorageType};
use async_nats::{Client, jetstream};
use serde::{Deserialize, Serialize};

use super::error::OpenError;
use super::options::Options;
use super::subject::Subjects;

/// The format of the records that this version writes.
const FORMAT: u32 = 1;
const REPLICAS: usize = 3;
/// A cluster that has just started needs some seconds to agree on a leader.
const TRIES: u32 = 10;
const SYNC_ANSWER: Duration = Duration::from_millis(500);

/// What all relays of a stream share, written once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) format: u32,
    pub(super) lanes: u16,
    /// The key of the hashes of users and ids.
    pub(super) key: [u8; 16],
    /// The outbox to which this one was moved, or is being moved: relays do not work on it any more.
    #[serde(default)]
    pub(super) moved_to: Option<String>,
    /// The sequence of this record.
    #[serde(skip)]
    pub(super) sequence: u64,
}

/// Creates the stream if it is missing, and reads what its relays share.
pub(super) async fn open(client: &Client, context: &Context, options: &Options) -> Result<Meta, OpenError> {
    let mut tries = 0;
    loop {
        match try_to_open(client, context, options).await {
            Err(OpenError::Stream { source, .. }) if tries < TRIES => {
                tries += 1;
                tracing::info!(
                    error.message = %source,
                    "the stream of the outbox is not ready yet: the relay tries again"
                );
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            opened => return opened,
        }
    }
}

async fn try_to_open(client: &Client, context: &Context, options: &Options) -> Result<Meta, OpenError> {
    let failed = |source| OpenError::Stream { stream: options.stream.clone(), source };
    let replicas = if client.server_info().cluster.is_some() { REPLICAS } else { 1 };
    let created = context.get_or_create_stream(config(&options.stream, replicas)).await;
    let mut stream = created.map_err(|error| failed(Box::new(error)))?;
    let info = stream.info().await.map_err(|error| failed(Box::new(error)))?.clone();
    check(&info, options)?;
    let meta = meta(client, &stream, options).await?;
    describe(&info, sync_always(client).await);
    Ok(meta)
}

fn config(name: &str, num_replicas: usize) -> Config {
    Config {
        name: name.to_owned(),
        description: Some("the outbox of accoil-relay".to_owned()),
        subjects: vec![format!("{name}.>")],
        max_messages_per_subject: 1,
        discard: DiscardPolicy::Old,
        storage: StorageType::File,
        num_replicas,
        allow_direct: true,
        allow_message_ttl: true,
        allow_atomic_publish: true,
        ..Config::default()
    }
}

fn check(info: &Info, options: &Options) -> Result<(), OpenError> {
    let config = &info.config;
    let what = if config.max_messages_per_subject != 1 {
        "messages per subject"
    } else if !config.allow_atomic_publish || !config.allow_message_ttl {
        "no atomic batches, or no times to live"
    } else if config.storage != StorageType::File {
        "not stored in files"
    } else if config.max_messages > 0 || config.max_bytes > 0 || !config.max_age.is_zero() {
        "limits, which would remove accepted events"
    } else {
        return Ok(());
    };
    Err(OpenError::Foreign { stream: options.stream.clone(), what })
}

/// Logs what "accepted" means with these settings.
fn describe(info: &Info, sync_always: Option<bool>) {
    let replicas = info.config.num_replicas;
    let stream = info.config.name.as_str();
    let copies = if replicas >= REPLICAS {
        "accepted means stored by a majority of the replicas: the loss of one server loses nothing"
    } else {
        "accepted means stored by one server: its loss loses what it has. Three servers and a stream of three replicas keep it"
    };
    tracing::info!(outbox.stream = stream, outbox.replicas = replicas, "{copies}");
    match sync_always {
        Some(true) => {
            tracing::info!("the NATS servers sync each write: a power cut loses nothing that was accepted");
        }
        Some(false) => tracing::warn!(
            "the NATS server does not sync each write: a power cut may lose what was accepted in the last minutes; set \
             `jetstream {{ sync_interval: always }}` on every server"
        ),
        None => tracing::info!(
            "the NATS servers do not say to this user when they sync: a power cut loses nothing only with \
             `jetstream {{ sync_interval: always }}` on every server"
        ),
    }
}

/// Asks the server, which answers only users of the system account.
async fn sync_always(client: &Client) -> Option<bool> {
    let answer = client.request("$SYS.REQ.SERVER.PING.VARZ", "".into());
    let answer = tokio::time::timeout(SYNC_ANSWER, answer).await.ok()?.ok()?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).ok()?;
    let config = answer.pointer("/data/jetstream/config")?;
    Some(config.get("sync_always").and_then(serde_json::Value::as_bool).unwrap_or(false))
}

/// Reads what the relays share; the first relay writes it.
async fn meta(
    client: &Client,
    stream: &jetstream::stream::Stream,
    options: &Options,
) -> Result<Meta, OpenError> {
    let failed = |source| OpenError::Stream { stream: options.stream.clone(), source };
    let subject = Subjects::new(&options.stream).meta();
    let new = Meta {
        format: FORMAT,
        lanes: options.lanes.clamp(1, 256),
        key: *uuid::Uuid::new_v4().as_bytes(),
        moved_to: None,
        sequence: 0,
    };
    let body = serde_json::to_vec(&new).map_err(|error| failed(Box::new(error)))?;
    let first = super::batch::Message::new(subject.clone(), body).expect(subject.clone(), 0);
    // Refused if another relay was first.
    let _ = super::batch::publish(client, "meta", vec![first], Duration::from_secs(5)).await;
    let stored =
        stream.get_last_raw_message_by_subject(&subject).await.map_err(|error| failed(Box::new(error)))?;
    let mut meta: Meta = serde_json::from_slice(&stored.payload).map_err(|error| failed(Box::new(error)))?;
    if meta.format > FORMAT {
        return Err(OpenError::Version { stream: options.stream.clone(), found: meta.format, known: FORMAT });
    }
    meta.sequence = stored.sequence;
    if let Some(to) = meta.moved_to.clone().filter(|to| Some(to) != options.moves_to.as_ref()) {
        return Err(OpenError::Moved { stream: options.stream.clone(), to });
    }
    if meta.lanes != options.lanes {
        tracing::warn!(
            outbox.lanes = meta.lanes,
            "the stream keeps the number of lanes that it was created with; outbox.lanes changes nothing"
        );
    }
    Ok(meta)
}
