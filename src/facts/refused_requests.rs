//! Refused requests, in groups: what a support engineer needs to find the sender.
//!
//! At most 256 groups, each with its count, its first and last time and its last three samples. A whole key is never
//! kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::event::SourceKind;
use crate::reasons::Reason;

const MAX_GROUPS: usize = 256;
/// With more groups than this, new keys are no longer distinguished.
const MAX_GROUPS_WITH_KEY: usize = 192;
const MAX_SAMPLES: usize = 3;
/// The bytes kept of a user agent.
const MAX_AGENT_BYTES: usize = 200;
/// The bytes kept of a body.
const MAX_BODY_BYTES: usize = 256;
/// Only a key of at least this length shows its first three characters.
const MIN_SHOWN_KEY: usize = 12;
const SHOWN_OF_KEY: usize = 3;

/// A refused request.
#[derive(Debug)]
pub struct RefusedRequest<'r> {
    /// `None` if the path belongs to no kind.
    pub kind: Option<SourceKind>,
    /// `None` if the source is unknown.
    pub source: Option<Arc<str>>,
    /// One of a fixed list, never the path as it was sent.
    pub route: &'static str,
    pub reason: Reason,
    pub status: u16,
    /// A hint about the key, if the request had a wrong one.
    pub key: Option<KeyHint>,
    pub at: DateTime<Utc>,
    pub address: Option<std::net::IpAddr>,
    pub agent: Option<&'r str>,
    /// The bytes of the body that were read.
    pub bytes: u64,
    /// The body, if it was read; only its beginning is kept.
    pub body: Option<&'r Bytes>,
}

/// What can be shown of a key without revealing it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct KeyHint {
    /// In characters.
    pub length: u32,
    /// The first three characters; empty for a key of fewer than twelve.
    pub begins: String,
}

impl KeyHint {
    pub fn of(key: &str) -> Self {
        let length = key.chars().count();
        let shown = if length >= MIN_SHOWN_KEY { SHOWN_OF_KEY } else { 0 };
        Self { length: u32::try_from(length).unwrap_or(u32::MAX), begins: key.chars().take(shown).collect() }
    }
}

/// The values by which requests are grouped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct RefusedRequestKey {
    pub kind: Option<SourceKind>,
    pub source: Option<Arc<str>>,
    pub route: Cow<'static, str>,
    pub reason: Reason,
    pub status: u16,
    /// `None` if there was no key, or if there are too many groups to distinguish keys.
    pub key: Option<KeyHint>,
}

/// One request of a group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sample {
    pub at: DateTime<Utc>,
    pub address: Option<std::net::IpAddr>,
    pub agent: Option<String>,
    pub bytes: u64,
    /// The beginning of the body, if it was read.
    pub body: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RefusedRequestGroup {
    pub count: u64,
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    /// The last ones, oldest first.
    pub samples: Vec<Sample>,
}

/// The groups of this run and, if there is a history, of the runs before it.
#[derive(Debug, Default)]
pub struct RefusedRequests(Mutex<BTreeMap<RefusedRequestKey, RefusedRequestGroup>>);

impl RefusedRequests {
    pub(super) fn add(&self, request: &RefusedRequest<'_>, keeps_body: bool) {
        let mut key = RefusedRequestKey {
            kind: request.kind,
            source: request.source.clone(),
            route: Cow::Borrowed(request.route),
            reason: request.reason,
            status: request.status,
            key: request.key.clone().filter(|key| key.length > 0),
        };
        let sample = Sample {
            at: request.at,
            address: request.address,
            agent: request.agent.map(|agent| agent.chars().take(MAX_AGENT_BYTES).collect()),
            bytes: request.bytes,
            body: request
                .body
                .filter(|_| keeps_body)
                .map(|body| String::from_utf8_lossy(body.get(..MAX_BODY_BYTES).unwrap_or(body)).into_owned()),
        };
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= MAX_GROUPS_WITH_KEY && !groups.contains_key(&key) {
            key.key = None;
        }
        if groups.len() >= MAX_GROUPS && !groups.contains_key(&key) {
            // The group without a request for the longest time is removed.
            let oldest = groups.iter().min_by_key(|(_, group)| group.last).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| groups.remove(&oldest));
        }
        let new =
            || RefusedRequestGroup { count: 0, first: request.at, last: request.at, samples: Vec::new() };
        let group = groups.entry(key).or_insert_with(new);
        group.count += 1;
        group.last = group.last.max(request.at);
        if group.samples.len() >= MAX_SAMPLES {
            group.samples.remove(0);
        }
        group.samples.push(sample);
    }

    /// Takes over the groups of an earlier run; a group of this run stays as it is.
    pub fn restore(&self, groups: Vec<(RefusedRequestKey, RefusedRequestGroup)>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, group) in groups.into_iter().take(MAX_GROUPS_WITH_KEY) {
            known.entry(key).or_insert(group);
        }
    }

    /// Returns every group with its key, in the order of the keys.
    pub fn groups(&self) -> Vec<(RefusedRequestKey, RefusedRequestGroup)> {
        let groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        groups.iter().map(|(key, group)| (key.clone(), group.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_request<'r>(key: Option<&'r str>, body: Option<&'r Bytes>) -> RefusedRequest<'r> {
        RefusedRequest {
            kind: Some(SourceKind::Segment),
            source: None,
            route: "/v1/batch",
            reason: Reason::DoorKey,
            status: 401,
            key: key.map(KeyHint::of),
            at: Utc::now(),
            address: None,
            agent: Some("analytics-node/2"),
            bytes: 10,
            body,
        }
    }

    #[test]
    fn a_group_keeps_its_count_its_last_samples_and_no_key() {
        let refused = RefusedRequests::default();
        let body = Bytes::from(vec![b'x'; 1000]);
        for _ in 0..5 {
            refused.add(&refused_request(Some("wk_123456789"), Some(&body)), true);
        }
        refused.add(&refused_request(Some("secret-key"), None), true);
        refused.add(&refused_request(None, None), true);
        let groups = refused.groups();
        let shown: Vec<_> = groups.iter().map(|(key, group)| (key.key.clone(), group.count)).collect();
        let hint = |length, begins: &str| Some(KeyHint { length, begins: begins.to_owned() });
        assert_eq!(shown, [(None, 1), (hint(10, ""), 1), (hint(12, "wk_"), 5)]);
        let samples = &groups[2].1.samples;
        assert_eq!((samples.len(), samples[0].body.as_ref().unwrap().len()), (3, 256));
        assert!(!format!("{groups:?}").contains("secret"), "a key is kept");
    }

    #[test]
    fn a_flood_of_keys_makes_few_groups_and_loses_no_count() {
        let refused = RefusedRequests::default();
        for length in 1..1000 {
            let key = "k".repeat(length);
            refused.add(&refused_request(Some(&key), None), true);
        }
        let groups = refused.groups();
        assert_eq!(groups.len(), MAX_GROUPS_WITH_KEY + 1);
        assert_eq!(groups.iter().map(|(_, group)| group.count).sum::<u64>(), 999);
    }
}
