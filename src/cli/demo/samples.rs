//! The demo's sample events and the calls that they should become, computed by the relay's own stages.

use anyhow::Context as _;
use serde::Deserialize;

use super::Mapper;
use crate::event::SourceKind;

/// An event as its sender posts it.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) sender: String,
    pub(super) title: String,
    pub(super) kind: SourceKind,
    pub(super) path: String,
    pub(super) body: String,
    refused: bool,
    /// Derived calls that were delivered before and are not sent again.
    repeats: usize,
    /// The same for relays that share a cluster: they send a group's traits with each event.
    repeats_in_cluster: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    samples: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    sender: String,
    title: String,
    kind: String,
    path: String,
    body: String,
    #[serde(default)]
    refused: bool,
    #[serde(default)]
    repeats: usize,
    #[serde(default)]
    repeats_in_cluster: usize,
}

pub(super) fn all() -> anyhow::Result<Vec<Sample>> {
    let file: File = toml::from_str(include_str!("samples.toml")).context("the demo's samples")?;
    Ok(file.samples.into_iter().map(Sample::from).collect())
}

impl From<Row> for Sample {
    fn from(row: Row) -> Self {
        let kind = if row.kind == "amplitude" { SourceKind::Amplitude } else { SourceKind::Segment };
        Self {
            sender: row.sender,
            title: row.title,
            kind,
            path: row.path,
            body: row.body,
            refused: row.refused,
            repeats: row.repeats,
            repeats_in_cluster: row.repeats_in_cluster,
        }
    }
}

impl Sample {
    pub(super) fn expected_calls(&self, mapper: &Mapper, in_cluster: bool) -> usize {
        let repeats = if in_cluster { self.repeats_in_cluster } else { self.repeats };
        let typed = match self.path.strip_prefix("/v1/") {
            // The path holds the call's type; the webhook form needs it in the body.
            Some(kind) => self.body.replacen('{', &format!("{{\"type\":\"{kind}\","), 1),
            None => self.body.clone(),
        };
        mapper.plan(&typed).requests.len().saturating_sub(repeats)
    }

    pub(super) const fn is_answered_by(&self, status: u16) -> bool {
        status == if self.refused { 400 } else { 200 }
    }
}
