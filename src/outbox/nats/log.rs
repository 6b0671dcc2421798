//! Reads the messages of some subjects from a sequence on, in order and without a gap.
//!
//! If a consumer falls silent or skips a message, the reader replaces it by a new consumer that begins after the last message read. This
//! takes a few seconds. The client's own ordered consumer would take half a minute.

use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Config, Stream as Pull};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::{Context, Message};
use futures_util::StreamExt as _;

/// How often the server sends a heartbeat to an idle consumer.
const HEARTBEAT: Duration = Duration::from_secs(1);
const EXPIRY: Duration = Duration::from_secs(20);
/// The wait between two attempts to create a consumer.
const RETRY: Duration = Duration::from_millis(250);
/// The server removes a consumer that nobody reads after this time.
const INACTIVE: Duration = Duration::from_secs(60);

/// A message of the stream.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) subject: String,
    pub(super) body: bytes::Bytes,
    pub(super) at: chrono::DateTime<chrono::Utc>,
    /// The number of messages behind this one that the server has for the consumer.
    pub(super) pending: u64,
}

pub(super) struct Log {
    context: Context,
    stream: String,
    subjects: Vec<String>,
    /// The sequence from which a new consumer begins.
    next: u64,
    batch: usize,
    reading: Option<Reading>,
}

struct Reading {
    /// The name of the consumer.
    consumer: String,
    messages: Pull,
    /// The consumer's own count, which has no gaps.
    count: u64,
}

impl Log {
    /// `batch`: the most messages that are on their way at a time.
    pub(super) fn new(
        context: Context,
        stream: &str,
        subjects: Vec<String>,
        next: u64,
        batch: usize,
    ) -> Self {
        Self { context, stream: stream.to_owned(), subjects, next, batch, reading: None }
    }

    /// Waits for the next message.
    pub(super) async fn next(&mut self) -> Entry {
        loop {
            if let Some(reading) = &mut self.reading
                && let Some(entry) = reading.next().await
            {
                // A consumer on a server that is behind begins before the message that was asked for.
                if entry.sequence < self.next {
                    continue;
                }
                self.next = entry.sequence + 1;
                return entry;
            }
            if self.reading.take().is_some() {
                tracing::debug!(from = self.next, "reads the stream again");
            }
            match self.begin().await {
                Ok((reading, _)) => self.reading = Some(reading),
                Err(error) => {
                    tracing::debug!(error.message = %error, "the stream cannot be read yet");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Creates the consumer. Returns how many messages it will deliver now.
    pub(super) async fn open(&mut self) -> Result<u64, async_nats::Error> {
        let (reading, pending) = self.begin().await?;
        self.reading = Some(reading);
        Ok(pending)
    }

    /// Removes the consumer from the server, which limits their number. If the server does not answer, it removes the consumer itself a
    /// minute later.
    pub(super) async fn close(mut self) {
        if let Some(reading) = self.reading.take() {
            let removed = self.context.delete_consumer_from_stream(reading.consumer, &self.stream);
            if let Ok(Err(error)) = tokio::time::timeout(RETRY, removed).await {
                tracing::debug!(error.message = %error, "a consumer could not be removed");
            }
        }
    }

    async fn begin(&self) -> Result<(Reading, u64), async_nats::Error> {
        let config = Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.next.max(1) },
            ack_policy: AckPolicy::None,
            filter_subjects: self.subjects.clone(),
            inactive_threshold: INACTIVE,
            memory_storage: true,
            num_replicas: 1,
            ..Config::default()
        };
        let consumer: Consumer<Config> = self.context.create_consumer_on_stream(config, &self.stream).await?;
        let (name, pending) = (consumer.cached_info().name.clone(), consumer.cached_info().num_pending);
        let messages = consumer
            .stream()
            .max_messages_per_batch(self.batch)
            .expires(EXPIRY)
            .heartbeat(HEARTBEAT)
            .messages()
            .await?;
        Ok((Reading { consumer: name, messages, count: 0 }, pending))
    }
}

impl Reading {
    /// Returns `None` if the consumer must be replaced.
    async fn next(&mut self) -> Option<Entry> {
        let message = self.messages.next().await?.ok()?;
        let entry = self.read(&message)?;
        Some(entry)
    }

    fn read(&mut self, message: &Message) -> Option<Entry> {
        let info = message.info().ok()?;
        self.count += 1;
        (info.consumer_sequence == self.count).then(|| Entry {
            sequence: info.stream_sequence,
            subject: message.subject.to_string(),
            body: message.payload.clone(),
            at: info.published,
            pending: info.pending,
        })
    }
}
