//! Chunks, their progress, and remembered ids, as rows: the statements of the stream's hot path.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::{LANE, columns};
use crate::event_id::EventId;
use crate::outbox::Amount;
use crate::outbox::chunk::Chunk;
use crate::outbox::frame::LAYOUT;

/// Whether a progress row is as it was written.
const IS_SOUND: &str = "progress.checksum = row_checksum(progress.chunk, progress.settled)";

/// Which requests of one chunk are settled, one bit each.
#[derive(Debug, Clone)]
pub(in crate::outbox) struct Progress {
    pub(in crate::outbox) settled: Vec<u8>,
    /// How many requests the chunk has.
    requests: u32,
    left: u32,
}

impl Progress {
    pub(in crate::outbox) fn new(requests: u32) -> Self {
        Self::restored(requests, Vec::new())
    }

    fn restored(requests: u32, mut settled: Vec<u8>) -> Self {
        let done: u32 = settled.iter().map(|byte| byte.count_ones()).sum();
        settled.resize(settled.len().max(requests.div_ceil(8) as usize), 0);
        Self { settled, requests, left: requests.saturating_sub(done) }
    }

    /// Marks one request of a chunk that has `of` requests as settled; returns false if it was settled before.
    pub(in crate::outbox) fn settle(&mut self, index: u32, of: u32) -> bool {
        if self.requests != of {
            // The number in the row was damaged; this one comes from the chunk's bytes.
            *self = Self::restored(of, std::mem::take(&mut self.settled));
        }
        let bit = 1 << (index % 8);
        match self.settled.get_mut(index as usize / 8) {
            Some(byte) if *byte & bit == 0 => {
                *byte |= bit;
                self.left = self.left.saturating_sub(1);
                true
            }
            _ => false,
        }
    }

    fn settled_requests(&self) -> u64 {
        self.settled.iter().map(|byte| u64::from(byte.count_ones())).sum()
    }

    pub(in crate::outbox) const fn is_complete(&self) -> bool {
        self.left == 0
    }
}

pub(in crate::outbox) fn insert(connection: &Connection, requests: u32, body: &[u8]) -> Result<i64> {
    connection
        .prepare_cached("INSERT INTO chunks (requests, checksum, body, layout) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![requests, crc32fast::hash(body), body, LAYOUT])?;
    Ok(connection.last_insert_rowid())
}

/// Deletes a chunk; returns its size in bytes.
pub(in crate::outbox) fn delete(connection: &Connection, id: i64) -> Result<u64> {
    let bytes = connection
        .prepare_cached("SELECT length(body) FROM chunks WHERE id = ?1")?
        .query_row([id], |row| super::unsigned(row, 0))
        .optional()?;
    connection.prepare_cached("DELETE FROM chunks WHERE id = ?1")?.execute([id])?;
    connection.prepare_cached("DELETE FROM progress WHERE chunk = ?1")?.execute([id])?;
    Ok(bytes.unwrap_or(0))
}

pub(in crate::outbox) fn save_progress(connection: &Connection, id: i64, progress: &Progress) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO progress (chunk, settled, checksum) VALUES (?1, ?2, row_checksum(?1, ?2))
             ON CONFLICT (chunk) DO UPDATE SET settled = excluded.settled, checksum = excluded.checksum",
        )?
        .execute(params![id, progress.settled])?;
    Ok(())
}

/// Returns the progress of every chunk that is partly settled.
pub(in crate::outbox) fn progress(connection: &Connection) -> Result<Vec<(i64, Progress)>> {
    connection
        .prepare("SELECT chunk, requests, settled FROM progress JOIN chunks ON chunks.id = chunk")?
        .query_map([], |row| Ok((row.get(0)?, Progress::restored(row.get(1)?, row.get(2)?))))?
        .collect()
}

/// Replaces progress that is damaged or was lost by what is known without it: that the calls that are parked have left their
/// chunk. The others are made once more, rather than lost. Returns the chunks.
pub(in crate::outbox) fn repair_progress(connection: &Connection) -> Result<Vec<i64>> {
    let damaged: Vec<i64> = connection
        .prepare(&format!(
            "SELECT id FROM chunks WHERE id IN (SELECT chunk FROM progress WHERE NOT ({IS_SOUND}))
             OR (id IN (SELECT chunk FROM parked) AND id NOT IN (SELECT chunk FROM progress))"
        ))?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_>>()?;
    for &chunk in &damaged {
        let requests = after(connection, chunk - 1)?.map_or(0, |chunk| chunk.requests);
        let mut progress = Progress::new(requests);
        let mut parked = connection.prepare("SELECT place FROM parked WHERE chunk = ?1")?;
        for place in parked.query_map([chunk], |row| columns::integer(row, 0))? {
            progress.settle(u32::try_from(place?).unwrap_or(u32::MAX), requests);
        }
        if progress.is_complete() {
            delete(connection, chunk)?;
        } else {
            save_progress(connection, chunk, &progress)?;
        }
    }
    Ok(damaged)
}

/// Returns the newest id ever given to a chunk, including settled ones.
pub(in crate::outbox) fn last_id(connection: &Connection) -> Result<i64> {
    last_of(connection, "chunks")
}

/// Returns the newest id ever given to a reject.
pub(in crate::outbox) fn last_reject(connection: &Connection) -> Result<i64> {
    last_of(connection, "rejects")
}

fn last_of(connection: &Connection, table: &str) -> Result<i64> {
    let id = connection
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = ?1", [table], |row| row.get(0))
        .optional()?;
    Ok(id.unwrap_or(0))
}

/// Returns the first chunk after an id, with its settled requests.
pub(in crate::outbox) fn after(connection: &Connection, id: i64) -> Result<Option<Chunk>> {
    connection
        // Damaged progress is no progress: the calls are made once more, rather than lost.
        .prepare_cached(&format!(
            "SELECT id, requests, body, settled, chunks.checksum, layout FROM chunks
             LEFT JOIN progress ON progress.chunk = chunks.id AND {IS_SOUND}
             WHERE id > ?1 ORDER BY id LIMIT 1"
        ))?
        .query_row([id], |row| {
            let bytes = Bytes::from(columns::bytes(row, 2)?);
            let chunk = Chunk {
                lane: LANE,
                id: row.get(0)?,
                requests: u32::try_from(columns::integer(row, 1)?).unwrap_or(0),
                settled: columns::bytes(row, 3)?,
                is_sound: columns::integer(row, 4)? == i64::from(crc32fast::hash(&bytes)),
                layout: u8::try_from(columns::integer(row, 5)?).unwrap_or(0),
                bytes,
            };
            Ok(chunk.with_counted_requests())
        })
        .optional()
}

pub(in crate::outbox) fn remember(connection: &Connection, at: DateTime<Utc>, ids: &[u8]) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO seen (at, ids) VALUES (?1, ?2)")?
        .execute(params![at.timestamp_millis(), ids])?;
    Ok(())
}

/// Calls `each` for the remembered ids, newest commit first, until it returns false.
pub(in crate::outbox) fn remembered(
    connection: &Connection,
    mut each: impl FnMut(DateTime<Utc>, &[u8]) -> bool,
) -> Result<()> {
    let mut statement = connection.prepare("SELECT at, ids FROM seen ORDER BY id DESC")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let at = DateTime::from_timestamp_millis(row.get(0)?).unwrap_or_default();
        if !each(at, row.get_ref(1)?.as_blob()?) {
            break;
        }
    }
    Ok(())
}

/// The most rows that one commit forgets, so that it does not become long.
const FORGOTTEN: usize = 1000;

/// Forgets ids and fingerprints from before these times; returns whether more may be left.
pub(in crate::outbox) fn forget(
    connection: &Connection,
    ids: DateTime<Utc>,
    delivered: DateTime<Utc>,
) -> Result<bool> {
    let oldest = format!("SELECT id, at FROM seen ORDER BY id LIMIT {FORGOTTEN}");
    let ids = connection
        .prepare_cached(&format!("DELETE FROM seen WHERE id IN (SELECT id FROM ({oldest}) WHERE at < ?1)"))?
        .execute([ids.timestamp_millis()])?;
    let old = format!("SELECT key FROM said WHERE at < ?1 ORDER BY at LIMIT {FORGOTTEN}");
    let fingerprints = connection
        .prepare_cached(&format!("DELETE FROM said WHERE key IN ({old})"))?
        .execute([delivered.timestamp_millis()])?;
    Ok(ids == FORGOTTEN || fingerprints == FORGOTTEN)
}

/// Returns the running time that was stored last; see `outbox::clock`.
pub(in crate::outbox) fn running_time(connection: &Connection) -> Result<Option<DateTime<Utc>>> {
    let stored = connection
        .query_row("SELECT value FROM state WHERE name = 'running time'", [], |row| row.get(0))
        .optional()?;
    Ok(stored.and_then(DateTime::from_timestamp_millis))
}

pub(in crate::outbox) fn store_running_time(connection: &Connection, now: DateTime<Utc>) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO state (name, value) VALUES ('running time', ?1)")?
        .execute([now.timestamp_millis()])?;
    Ok(())
}

/// Returns the number of unsettled requests in all chunks, and their bytes. SQLite knows a blob's length without
/// reading it.
pub(in crate::outbox) fn chunk_amount(connection: &Connection) -> Result<Amount> {
    let sum = "SELECT coalesce(sum(requests), 0), coalesce(sum(length(body)), 0) FROM chunks";
    let mut amount = super::amount(connection, sum)?;
    let settled: u64 = progress(connection)?.iter().map(|(_, progress)| progress.settled_requests()).sum();
    amount.rows = amount.rows.saturating_sub(settled);
    Ok(amount)
}

/// Returns when the oldest chunk's first event was received, from its id. `None` for a chunk without ids.
pub(in crate::outbox) fn oldest_in_chunks(connection: &Connection) -> Result<Option<EventId>> {
    let first = "SELECT substr(body, 1, 8) FROM chunks WHERE layout = 2 ORDER BY id LIMIT 1";
    let head: Option<Vec<u8>> = connection.query_row(first, [], |row| row.get(0)).optional()?;
    Ok(head.and_then(|head| Some(EventId(u64::from_le_bytes(head.try_into().ok()?)))))
}
