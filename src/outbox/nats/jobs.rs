//! Jobs as records: one for each job, replaced with each of its steps.

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use super::super::jobs::{Job, JobState};

#[derive(Debug, Serialize, Deserialize)]
struct JobRecord {
    id: i64,
    kind: String,
    order: String,
    up_to: i64,
    expect: u64,
    cursor: i64,
    done: u64,
    failed: u64,
    state: JobState,
    by: String,
    at: i64,
    note: String,
}

pub(super) fn record(job: &Job) -> bytes::Bytes {
    super::codec::json(&JobRecord {
        id: job.id,
        kind: job.kind.clone(),
        order: job.order.clone(),
        up_to: job.up_to,
        expect: job.expect,
        cursor: job.cursor,
        done: job.done,
        failed: job.failed,
        state: job.state,
        by: job.by.clone(),
        at: job.at.timestamp_millis(),
        note: job.note.clone(),
    })
}

pub(super) fn read(body: &[u8]) -> Option<Job> {
    let record: JobRecord = serde_json::from_slice(body).ok()?;
    Some(Job {
        id: record.id,
        kind: record.kind,
        order: record.order,
        up_to: record.up_to,
        expect: record.expect,
        cursor: record.cursor,
        done: record.done,
        failed: record.failed,
        state: record.state,
        by: record.by,
        at: DateTime::from_timestamp_millis(record.at).unwrap_or_default(),
        note: record.note,
    })
}
