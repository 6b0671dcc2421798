//! An atomic batch: messages that the stream stores together or not at all, at most 1000. One batch is one transaction.
//!
//! `async-nats` has no function for a batch, so this module writes JetStream's headers (ADR-50). If no answer arrives, the relay does
//! not know whether the batch was stored or will be; `unsure` finds out.

use std::time::Duration;

use async_nats::client::Request;
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use serde::Deserialize;

/// The most messages that the server takes in one batch.
pub(super) const MOST_MESSAGES: usize = 1000;
/// JetStream's error codes for a condition of the batch that does not hold.
const WRONG_LAST_SEQUENCE: [u64; 2] = [10071, 10164];

/// One message of a batch.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) subject: String,
    pub(super) body: Bytes,
    /// The subject whose newest message must have this sequence (0: there must be none), or nothing of the batch is stored.
    pub(super) expected: Option<(String, u64)>,
    /// How long the message is kept.
    pub(super) ttl: Option<Duration>,
}

impl Message {
    pub(super) fn new(subject: String, body: impl Into<Bytes>) -> Self {
        Self { subject, body: body.into(), expected: None, ttl: None }
    }

    /// Removes a record by an empty message. The stream deletes the empty message later, when every relay has read it.
    pub(super) fn removal(subject: String) -> Self {
        Self { ttl: Some(Duration::from_secs(600)), ..Self::new(subject, Bytes::new()) }
    }

    pub(super) fn keep_for(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl.max(Duration::from_secs(1)));
        self
    }

    pub(super) fn expect(mut self, subject: String, sequence: u64) -> Self {
        self.expected = Some((subject, sequence));
        self
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some((subject, sequence)) = &self.expected {
            headers.insert("Nats-Expected-Last-Subject-Sequence", sequence.to_string());
            if *subject != self.subject {
                headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", subject.as_str());
            }
        }
        if let Some(ttl) = self.ttl {
            headers.insert("Nats-TTL", format!("{}s", ttl.as_secs().max(1)));
        }
        headers
    }
}

/// Why a batch was not stored, or may not have been.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    /// A condition of the batch does not hold; nothing was stored.
    #[error("another relay was faster")]
    Refused,
    /// Nothing was stored.
    #[error("JetStream refused the batch: {0}")]
    Failed(String),
    /// The batch may have been stored, or may still be stored later.
    #[error("the cluster did not answer in time, or its answer cannot be read")]
    NoAnswer,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    error: Option<Problem>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    err_code: u64,
    description: String,
}

/// Publishes a batch; returns the sequence of its last message. The sequences of a batch have no gaps.
pub(super) async fn publish(
    client: &Client,
    id: &str,
    messages: Vec<Message>,
    timeout: Duration,
) -> Result<u64, BatchError> {
    let last = messages.len();
    for (number, message) in (1..).zip(messages) {
        let mut headers = message.headers();
        if last > 1 {
            headers.insert("Nats-Batch-Id", id);
            headers.insert("Nats-Batch-Sequence", number.to_string());
        }
        if number < last {
            let sent = client.publish_with_headers(message.subject, headers, message.body);
            match tokio::time::timeout(timeout, sent).await {
                Ok(Ok(())) => continue,
                _ => return Err(BatchError::NoAnswer),
            }
        }
        if last > 1 {
            headers.insert("Nats-Batch-Commit", "1");
        }
        let request = Request::new().headers(headers).payload(message.body).timeout(Some(timeout));
        let answer = client.send_request(message.subject, request).await.map_err(|_| BatchError::NoAnswer)?;
        return read(&answer.payload);
    }
    Err(BatchError::Failed("it is empty".to_owned()))
}

fn read(answer: &[u8]) -> Result<u64, BatchError> {
    match serde_json::from_slice(answer) {
        Ok(Answer { error: Some(problem), .. }) if WRONG_LAST_SEQUENCE.contains(&problem.err_code) => {
            Err(BatchError::Refused)
        }
        Ok(Answer { error: Some(Problem { description, .. }), .. }) => Err(BatchError::Failed(description)),
        Ok(Answer { seq, error: None }) if seq > 0 => Ok(seq),
        _ => Err(BatchError::NoAnswer),
    }
}
