//! Chunks, their progress, and remembered ids, as rows: the statements of the stream's hot path.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::super::chunk::Chunk;

/// How far the requests of one chunk are settled: a bit each.
#[derive(Debug, Clone)]
pub(in super::super) struct Progress {
    pub(in super::super) settled: Vec<u8>,
    left: u32,
}

impl Progress {
    pub(in super::super) fn new(requests: u32) -> Self {
        Self { settled: vec![0; requests.div_ceil(8) as usize], left: requests }
    }

    fn restored(requests: u32, settled: Vec<u8>) -> Self {
        let done: u32 = settled.iter().map(|byte| byte.count_ones()).sum();
        Self { settled, left: requests.saturating_sub(done) }
    }

    /// Marks one request as settled; a second time changes nothing.
    pub(in super::super) fn settle(&mut self, index: u32) {
        if let Some(byte) = self.settled.get_mut(index as usize / 8) {
            let bit = 1 << (index % 8);
            if *byte & bit == 0 {
                *byte |= bit;
                self.left = self.left.saturating_sub(1);
            }
        }
    }

    pub(in super::super) const fn is_complete(&self) -> bool {
        self.left == 0
    }
}

pub(in super::super) fn insert(connection: &Connection, requests: u32, body: &[u8]) -> Result<i64> {
    connection
        .prepare_cached("INSERT INTO chunks (requests, checksum, body) VALUES (?1, ?2, ?3)")?
        .execute(params![requests, crc32fast::hash(body), body])?;
    Ok(connection.last_insert_rowid())
}

/// Forgets a chunk; says how many bytes it had.
pub(in super::super) fn delete(connection: &Connection, id: i64) -> Result<u64> {
    let bytes = connection
        .prepare_cached("SELECT length(body) FROM chunks WHERE id = ?1")?
        .query_row([id], |row| super::unsigned(row, 0))
        .optional()?;
    connection.prepare_cached("DELETE FROM chunks WHERE id = ?1")?.execute([id])?;
    connection.prepare_cached("DELETE FROM progress WHERE chunk = ?1")?.execute([id])?;
    Ok(bytes.unwrap_or(0))
}

/// Bytes that all chunks hold. SQLite knows a blob's length without reading it.
pub(in super::super) fn chunk_bytes(connection: &Connection) -> Result<u64> {
    let sum = "SELECT coalesce(sum(length(body)), 0) FROM chunks";
    connection.query_row(sum, [], |row| super::unsigned(row, 0))
}

pub(in super::super) fn save_progress(connection: &Connection, id: i64, progress: &Progress) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO progress (chunk, settled) VALUES (?1, ?2) ON CONFLICT (chunk) DO UPDATE SET settled = ?2",
        )?
        .execute(params![id, progress.settled])?;
    Ok(())
}

/// The progress of every chunk that is partly settled.
pub(in super::super) fn progress(connection: &Connection) -> Result<Vec<(i64, Progress)>> {
    connection
        .prepare("SELECT chunk, requests, settled FROM progress JOIN chunks ON chunks.id = chunk")?
        .query_map([], |row| Ok((row.get(0)?, Progress::restored(row.get(1)?, row.get(2)?))))?
        .collect()
}

/// The newest id ever given to a chunk, settled ones included.
pub(in super::super) fn last_id(connection: &Connection) -> Result<i64> {
    let id = connection
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'", [], |row| row.get(0))
        .optional()?;
    Ok(id.unwrap_or(0))
}

/// The first chunk after an id, with what of it is settled.
pub(in super::super) fn after(connection: &Connection, id: i64) -> Result<Option<Chunk>> {
    connection
        .prepare_cached(
            "SELECT id, requests, body, settled, checksum FROM chunks LEFT JOIN progress ON progress.chunk = chunks.id
             WHERE id > ?1 ORDER BY id LIMIT 1",
        )?
        .query_row([id], |row| {
            let bytes = Bytes::from(row.get::<_, Vec<u8>>(2)?);
            Ok(Chunk {
                id: row.get(0)?,
                requests: row.get(1)?,
                settled: row.get::<_, Option<Vec<u8>>>(3)?.unwrap_or_default(),
                is_sound: row.get::<_, i64>(4)? == i64::from(crc32fast::hash(&bytes)),
                bytes,
            })
        })
        .optional()
}

pub(in super::super) fn remember(connection: &Connection, at: DateTime<Utc>, ids: &[u8]) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO seen (at, ids) VALUES (?1, ?2)")?
        .execute(params![at.timestamp_millis(), ids])?;
    Ok(())
}

/// Hands the remembered ids to `each`, the newest commit first, until it returns false.
pub(in super::super) fn remembered(
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

/// Forgets ids and fingerprints from before these times, some at a time so that no commit becomes long.
pub(in super::super) fn forget(
    connection: &Connection,
    ids: DateTime<Utc>,
    said: DateTime<Utc>,
) -> Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM seen WHERE id IN (SELECT id FROM (SELECT id, at FROM seen ORDER BY id LIMIT 1000) WHERE at < ?1)",
        )?
        .execute([ids.timestamp_millis()])?;
    connection
        .prepare_cached(
            "DELETE FROM said WHERE key IN (SELECT key FROM said WHERE at < ?1 ORDER BY at LIMIT 1000)",
        )?
        .execute([said.timestamp_millis()])?;
    Ok(())
}
