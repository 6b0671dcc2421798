//! The table of jobs: one row for each job, changed with every step.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};

use super::columns::{time, unsigned};
use crate::outbox::jobs::{Job, JobState, NewJob};

const JOB: &str =
    "SELECT id, kind, filter, up_to, expect, cursor, done, failed, state, by, at, note FROM jobs";
/// Jobs that have ended are kept up to this many.
const MAX_ENDED: i64 = 500;

pub(in crate::outbox) fn create_job(
    connection: &Connection,
    job: &NewJob,
    now: DateTime<Utc>,
) -> Result<i64> {
    connection.execute(
        "DELETE FROM jobs WHERE state NOT IN ('running', 'paused') AND id <= (SELECT max(id) FROM jobs) - ?1",
        [MAX_ENDED],
    )?;
    // A job without events is done at once.
    let state = if job.expect == 0 { JobState::Done } else { JobState::Running };
    connection.execute(
        "INSERT INTO jobs (kind, filter, up_to, expect, state, by, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            job.kind,
            job.order,
            job.up_to,
            i64::try_from(job.expect).unwrap_or(i64::MAX),
            state.name(),
            job.by,
            now.timestamp_millis()
        ],
    )?;
    Ok(connection.last_insert_rowid())
}

/// Returns whether the job had one of these states.
pub(in crate::outbox) fn set_job_state(
    connection: &Connection,
    id: i64,
    from: &[JobState],
    to: JobState,
    note: &str,
) -> Result<bool> {
    let Some(job) = job(connection, id)? else { return Ok(false) };
    if !from.contains(&job.state) {
        return Ok(false);
    }
    connection
        .execute("UPDATE jobs SET state = ?2, note = ?3 WHERE id = ?1", params![id, to.name(), note])?;
    Ok(true)
}

/// Moves a running job on; false if it is not running.
pub(in crate::outbox) fn advance_job(
    connection: &Connection,
    id: i64,
    cursor: i64,
    done: usize,
    failed: u64,
    is_last: bool,
) -> Result<bool> {
    let state = if is_last { JobState::Done } else { JobState::Running };
    let changed = connection
        .prepare_cached(
            "UPDATE jobs SET cursor = ?2, done = done + ?3, failed = failed + ?4, state = ?5
             WHERE id = ?1 AND state = 'running'",
        )?
        .execute(params![
            id,
            cursor,
            i64::try_from(done).unwrap_or(i64::MAX),
            i64::try_from(failed).unwrap_or(i64::MAX),
            state.name()
        ])?;
    Ok(changed == 1)
}

/// Returns the progress of a job; `None` if it is not running.
pub(in crate::outbox) fn running_job(connection: &Connection, id: i64) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT cursor FROM jobs WHERE id = ?1 AND state = 'running'")?
        .query_row([id], |row| row.get(0))
        .optional()
}

/// Stores a job as it is, in place of an earlier one with its number.
pub(in crate::outbox) fn put_job(connection: &Connection, job: &Job) -> Result<()> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO jobs (id, kind, filter, up_to, expect, cursor, done, failed, state, by, at, note)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            job.id,
            job.kind,
            job.order,
            job.up_to,
            number(job.expect),
            job.cursor,
            number(job.done),
            number(job.failed),
            job.state.name(),
            job.by,
            job.at.timestamp_millis(),
            job.note
        ])?;
    Ok(())
}

pub(in crate::outbox) fn jobs(connection: &Connection, most: usize) -> Result<Vec<Job>> {
    connection
        .prepare(&format!("{JOB} ORDER BY id DESC LIMIT ?1"))?
        .query_map([i64::try_from(most).unwrap_or(i64::MAX)], read)?
        .collect()
}

pub(in crate::outbox) fn job(connection: &Connection, id: i64) -> Result<Option<Job>> {
    connection.prepare_cached(&format!("{JOB} WHERE id = ?1"))?.query_row([id], read).optional()
}

fn read(row: &Row<'_>) -> Result<Job> {
    let state: String = row.get(8)?;
    Ok(Job {
        id: row.get(0)?,
        kind: row.get(1)?,
        order: row.get(2)?,
        up_to: row.get(3)?,
        expect: unsigned(row, 4)?,
        cursor: row.get(5)?,
        done: unsigned(row, 6)?,
        failed: unsigned(row, 7)?,
        state: JobState::named(&state).unwrap_or(JobState::Failed),
        by: row.get(9)?,
        at: time(row, 10)?,
        note: row.get(11)?,
    })
}
