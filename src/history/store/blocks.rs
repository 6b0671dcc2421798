//! The blocks in the database: writes them, finds them, and removes the oldest.

use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};

use super::Store;
use crate::history::block::{Head, UnreadablePart};

/// The pages of free space that are returned to the disk at a time.
const MAX_RETURNED_PAGES: u32 = 4096;

/// The parts of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::history) enum Part {
    Lines,
    Late,
    Payloads,
}

impl Part {
    const ALL: [Self; 3] = [Self::Lines, Self::Late, Self::Payloads];

    const fn row(self, block: i64) -> i64 {
        block * 4 + self as i64
    }
}

/// A block, packed and ready to be written.
#[derive(Debug, Default)]
pub(in crate::history) struct PackedBlock {
    pub(in crate::history) head: Head,
    pub(in crate::history) bloom: Vec<u8>,
    pub(in crate::history) lines: Vec<u8>,
    pub(in crate::history) late: Vec<u8>,
    pub(in crate::history) payloads: Vec<u8>,
}

impl PackedBlock {
    pub(in crate::history) fn size(&self) -> u64 {
        (self.bloom.len() + self.lines.len() + self.late.len() + self.payloads.len()) as u64
    }
}

const COLUMNS: &str =
    "id, first, events, payloads, from_ms, to_ms, least_event, most_event, least_late, most_late, mask";

fn head(row: &Row<'_>) -> Result<Head> {
    let unsigned = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
    Ok(Head {
        id: row.get(0)?,
        first: row.get(1)?,
        events: row.get(2)?,
        payloads: row.get(3)?,
        from: row.get(4)?,
        to: row.get(5)?,
        least_event: unsigned(6)?,
        most_event: unsigned(7)?,
        least_late: unsigned(8)?,
        most_late: unsigned(9)?,
        mask: unsigned(10)?,
    })
}

/// The newest block.
pub(in crate::history) fn newest(connection: &Connection) -> Result<Option<Head>> {
    let sql = format!("SELECT {COLUMNS} FROM blocks ORDER BY id DESC LIMIT 1");
    connection.query_row(&sql, [], head).optional()
}

/// Calls `each` with the blocks below this id, the newest first, until it returns false.
pub(in crate::history) fn each_head<E: From<rusqlite::Error>>(
    connection: &Connection,
    below: i64,
    mut each: impl FnMut(Head) -> std::result::Result<bool, E>,
) -> std::result::Result<(), E> {
    let sql = format!("SELECT {COLUMNS} FROM blocks WHERE id < ?1 ORDER BY id DESC");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([below])?;
    while let Some(row) = rows.next()? {
        if !each(head(row)?)? {
            break;
        }
    }
    Ok(())
}

/// Returns a part; an empty one if the block has none.
pub(in crate::history) fn part(
    connection: &Connection,
    block: i64,
    part: Part,
) -> Result<std::result::Result<Vec<u8>, UnreadablePart>> {
    let mut statement = connection.prepare_cached("SELECT checksum, body FROM parts WHERE id = ?1")?;
    let row =
        statement.query_row([part.row(block)], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?)));
    match row {
        Ok((checksum, body)) if checksum == crc32fast::hash(&body) => Ok(Ok(body)),
        Ok(_) => Ok(Err(UnreadablePart)),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(Ok(Vec::new())),
        // A page of this part is damaged; other parts may be readable.
        Err(error) if super::is_damaged(&error) => Ok(Err(UnreadablePart)),
        Err(error) => Err(error),
    }
}

/// Returns the block that has the line with this number; `None` if it has left, or is not written yet.
pub(in crate::history) fn block_of(connection: &Connection, number: i64) -> Result<Option<Head>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM blocks WHERE first <= ?1 AND first + events > ?1 ORDER BY id DESC LIMIT 1"
    );
    connection.prepare_cached(&sql)?.query_row([number], head).optional()
}

/// Returns the late attempts, of all blocks from this one on, that may belong to its events.
pub(in crate::history) fn late_for(
    connection: &Connection,
    head: &Head,
) -> Result<Vec<std::result::Result<Vec<u8>, UnreadablePart>>> {
    let mut blocks = Vec::new();
    each_head(connection, i64::MAX, |later| -> Result<bool> {
        let overlaps = later.most_late != 0
            && later.least_late <= head.most_event
            && later.most_late >= head.least_event;
        blocks.extend(overlaps.then_some(later.id));
        Ok(later.id > head.id)
    })?;
    blocks.into_iter().map(|block| part(connection, block, Part::Late)).collect()
}

/// Returns the bits of the Bloom filter; `None` if they are damaged.
pub(in crate::history) fn bloom(connection: &Connection, block: i64) -> Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT checksum, bits FROM blooms WHERE block = ?1")?;
    let row: Option<(u32, Vec<u8>)> =
        statement.query_row([block], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(row.filter(|(checksum, bits)| *checksum == crc32fast::hash(bits)).map(|(_, bits)| bits))
}

fn write_block(transaction: &Connection, block: &PackedBlock) -> Result<()> {
    let head = &block.head;
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO blocks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    statement.execute(params![
        head.id,
        head.first,
        head.events,
        head.payloads,
        head.from,
        head.to,
        head.least_event.cast_signed(),
        head.most_event.cast_signed(),
        head.least_late.cast_signed(),
        head.most_late.cast_signed(),
        head.mask.cast_signed(),
    ])?;
    let mut statement = transaction.prepare_cached("INSERT OR REPLACE INTO blooms VALUES (?1, ?2, ?3)")?;
    statement.execute(params![head.id, crc32fast::hash(&block.bloom), block.bloom])?;
    for (part, body) in Part::ALL.into_iter().zip([&block.lines, &block.late, &block.payloads]) {
        let id = part.row(head.id);
        if body.is_empty() {
            transaction.prepare_cached("DELETE FROM parts WHERE id = ?1")?.execute([id])?;
        } else {
            let mut statement =
                transaction.prepare_cached("INSERT OR REPLACE INTO parts VALUES (?1, ?2, ?3)")?;
            statement.execute(params![id, crc32fast::hash(body), body])?;
        }
    }
    Ok(())
}

impl Store {
    pub(in crate::history) fn write(&mut self, block: &PackedBlock) -> Result<()> {
        let transaction = self.connection.transaction()?;
        write_block(&transaction, block)?;
        transaction.commit()
    }

    /// Returns the oldest block.
    pub(in crate::history) fn oldest(&self) -> Result<Option<Head>> {
        let sql = format!("SELECT {COLUMNS} FROM blocks ORDER BY id LIMIT 1");
        self.connection.query_row(&sql, [], head).optional()
    }

    pub(in crate::history) fn remove(&mut self, block: i64) -> Result<()> {
        let transaction = self.connection.transaction()?;
        transaction.prepare_cached("DELETE FROM blocks WHERE id = ?1")?.execute([block])?;
        transaction.prepare_cached("DELETE FROM blooms WHERE block = ?1")?.execute([block])?;
        let rows = [Part::Lines.row(block), Part::Payloads.row(block)];
        transaction.prepare_cached("DELETE FROM parts WHERE id BETWEEN ?1 AND ?2")?.execute(rows)?;
        transaction.commit()
    }

    /// Returns whether the file would exceed its size with this many more bytes.
    pub(in crate::history) fn is_over(&self, more: u64) -> Result<bool> {
        // The rest is reserved for the log.
        let most = self.max_bytes - self.max_bytes / 16;
        Ok(self.used()? + more + more / 64 + 64 * super::PAGE_BYTES > most)
    }

    /// Returns the bytes of the file that are in use.
    pub(in crate::history) fn used(&self) -> Result<u64> {
        let [pages, free, size] = self.pages()?;
        Ok(pages.saturating_sub(free) * size)
    }

    /// If the file is larger than allowed, returns free space to the disk, some megabytes at a time.
    pub(in crate::history) fn shrink(&self) -> Result<()> {
        let [pages, _, size] = self.pages()?;
        if pages * size > self.max_bytes {
            let sql = format!("PRAGMA incremental_vacuum({MAX_RETURNED_PAGES})");
            self.connection.execute_batch(&sql)?;
        }
        Ok(())
    }

    fn pages(&self) -> Result<[u64; 3]> {
        let number = |pragma| self.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let [pages, free, size] = [number("page_count")?, number("freelist_count")?, number("page_size")?];
        Ok([pages, free, size].map(|number| u64::try_from(number).unwrap_or(0)))
    }
}
