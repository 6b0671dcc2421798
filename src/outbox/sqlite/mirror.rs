//! A copy of what another backend stores, in the tables of this one, so that lists, filters and groups are the same everywhere.
//!
//! It is not durable: it is in a temporary folder, is rebuilt at each start and is never synced. Its owner applies each change
//! in the order in which the backend stored it; the sequence numbers of the backend become the numbers of the rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::{self as sqlite, letters, schema};
use crate::accoil::Fingerprint;
use crate::event_id::EventId;
use crate::outbox::chunk::Job;
use crate::outbox::clock::Now;
use crate::outbox::jobs::{Job as Task, JobState};
use crate::outbox::{
    Amount, Attempt, DeadLetter, Filter, Group, Kind, PageFrom, Parked, Place, Position, Reject, Retry,
    StoredReject, WaitingFilter,
};
use crate::reasons::Reason;

/// Which subject of the backend a row was made from.
const KEYS: &str = "
CREATE TABLE keys (subject TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX keys_sequence ON keys (sequence);
";

/// Parked calls that are read at a time.
const PAGE: usize = 500;

#[derive(Debug)]
pub(in crate::outbox) struct Mirror {
    pub(in crate::outbox) connection: Connection,
    path: PathBuf,
    pub(in crate::outbox) dead_letters: Amount,
    pub(in crate::outbox) rejects: Amount,
}

impl Mirror {
    /// Creates the file, which must not exist.
    pub(in crate::outbox) fn create(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")?;
        sqlite::register_checksum(&connection)?;
        schema::migrate(&connection)?;
        connection.execute_batch(KEYS)?;
        let (dead_letters, rejects) = (Amount::default(), Amount::default());
        Ok(Self { connection, path: path.to_owned(), dead_letters, rejects })
    }

    pub(in crate::outbox) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes everything: it is read again.
    pub(in crate::outbox) fn clear(&mut self) -> Result<()> {
        (self.dead_letters, self.rejects) = (Amount::default(), Amount::default());
        self.connection.execute_batch(
            "DELETE FROM parked; DELETE FROM dead_letters; DELETE FROM rejects; DELETE FROM reasons; DELETE FROM said;
             DELETE FROM state; DELETE FROM jobs; DELETE FROM keys;",
        )
    }

    pub(in crate::outbox) fn begin(&self) -> Result<()> {
        self.connection.execute_batch("BEGIN")
    }

    pub(in crate::outbox) fn commit(&self) -> Result<()> {
        self.connection.execute_batch("COMMIT")
    }

    fn remember(&self, subject: &str, sequence: i64) -> Result<()> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO keys (subject, sequence) VALUES (?1, ?2)")?
            .execute(params![subject, sequence])?;
        Ok(())
    }

    /// Forgets a subject; returns the row that was made from it.
    fn forget(&self, subject: &str) -> Result<Option<i64>> {
        self.connection
            .prepare_cached("DELETE FROM keys WHERE subject = ?1 RETURNING sequence")?
            .query_row([subject], |row| row.get(0))
            .optional()
    }

    /// The subject of a dead letter or reject with this number.
    pub(in crate::outbox) fn subject(&self, number: i64) -> Result<Option<String>> {
        self.connection
            .prepare_cached("SELECT subject FROM keys WHERE sequence = ?1")?
            .query_row([number], |row| row.get(0))
            .optional()
    }

    /// The sequence of a subject; 0 if there is none.
    pub(in crate::outbox) fn sequence(&self, subject: &str) -> Result<i64> {
        let found = self
            .connection
            .prepare_cached("SELECT sequence FROM keys WHERE subject = ?1")?
            .query_row([subject], |row| row.get(0))
            .optional()?;
        Ok(found.unwrap_or(0))
    }

    /// Stores a parked call, in place of an earlier one of the same position.
    pub(in crate::outbox) fn set_parked(
        &self,
        sequence: i64,
        job: &Job,
        attempts: &[Attempt],
        next_attempt_at: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let Position { chunk, index, .. } = job.place.position();
        self.remove_parked(chunk, index)?;
        sqlite::park(&self.connection, job, attempts, next_attempt_at)?;
        self.connection
            .prepare_cached("UPDATE parked SET id = ?1 WHERE id = last_insert_rowid()")?
            .execute([sequence])?;
        Ok(())
    }

    pub(in crate::outbox) fn remove_parked(&self, chunk: i64, index: u32) -> Result<()> {
        self.connection
            .prepare_cached("DELETE FROM parked WHERE chunk = ?1 AND place = ?2")?
            .execute(params![chunk, index])?;
        Ok(())
    }

    /// The size of a parked call; `None` if there is none at this position.
    pub(in crate::outbox) fn parked_bytes(&self, position: Position) -> Result<Option<u64>> {
        self.connection
            .prepare_cached(
                "SELECT length(body) + length(original) FROM parked WHERE chunk = ?1 AND place = ?2",
            )?
            .query_row(params![position.chunk, position.index], |row| sqlite::unsigned(row, 0))
            .optional()
    }

    /// All parked calls of a user, in order.
    pub(in crate::outbox) fn parked_of(
        &self,
        destination: &str,
        user: &str,
        most: usize,
    ) -> Result<Vec<Parked>> {
        sqlite::parked(&self.connection, destination, user, most, |_| {})
    }

    pub(in crate::outbox) fn parked_users(&self, destination: &str) -> Result<Vec<(String, Option<Retry>)>> {
        sqlite::parked_users(&self.connection, destination)
    }

    /// Each user with parked calls of a destination: the newest chunk that one came from, and how many are in the background.
    pub(in crate::outbox) fn parked_summary(&self, destination: &str) -> Result<Vec<(String, i64, u64)>> {
        self.connection
            .prepare_cached(
                "SELECT user, max(chunk), sum(lane) FROM parked WHERE destination = ?1 GROUP BY user",
            )?
            .query_map([destination], |row| Ok((row.get(0)?, row.get(1)?, sqlite::unsigned(row, 2)?)))?
            .collect()
    }

    pub(in crate::outbox) fn oldest_parked(&self) -> Result<Option<EventId>> {
        sqlite::oldest_parked(&self.connection)
    }

    pub(in crate::outbox) fn parked_destinations(&self) -> Result<BTreeMap<String, u64>> {
        sqlite::parked_destinations(&self.connection)
    }

    pub(in crate::outbox) fn set_dead_letter(
        &mut self,
        subject: &str,
        sequence: i64,
        job: &Job,
        attempts: &[Attempt],
        reason: Reason,
        at: DateTime<Utc>,
    ) -> Result<()> {
        self.remove_letter(subject)?;
        self.number_next(sequence)?;
        let now = Now { wall: at, running: at };
        let (_, bytes) = sqlite::insert_dead_letter(&self.connection, job, attempts, reason, now)?;
        self.dead_letters.add(Amount { rows: 1, bytes });
        self.remember(subject, sequence)
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of a row")]
    pub(in crate::outbox) fn set_reject(
        &mut self,
        subject: &str,
        sequence: i64,
        source: &str,
        form: &str,
        received_at: DateTime<Utc>,
        reject: &Reject,
        at: DateTime<Utc>,
    ) -> Result<()> {
        self.remove_letter(subject)?;
        self.number_next(sequence)?;
        let now = Now { wall: at, running: at };
        let bytes = sqlite::insert_reject(&self.connection, source, form, received_at, reject, now)?;
        self.rejects.add(Amount { rows: 1, bytes });
        self.remember(subject, sequence)
    }

    /// The next dead letter or reject gets this number.
    fn number_next(&self, number: i64) -> Result<()> {
        self.connection.execute_batch(&format!(
            "DELETE FROM sqlite_sequence WHERE name IN ('dead_letters', 'rejects');
             INSERT INTO sqlite_sequence (name, seq) VALUES ('rejects', {})",
            number - 1
        ))
    }

    /// Removes the dead letter or reject of a subject.
    pub(in crate::outbox) fn remove_letter(&mut self, subject: &str) -> Result<()> {
        if let Some(number) = self.forget(subject)? {
            self.dead_letters.remove(letters::remove(&self.connection, Kind::DeadLetter, &[number])?);
            self.rejects.remove(letters::remove(&self.connection, Kind::Reject, &[number])?);
        }
        Ok(())
    }

    /// The numbers of the oldest rows of a kind that were stored before a time.
    pub(in crate::outbox) fn older_than(
        &self,
        kind: Kind,
        at: DateTime<Utc>,
        most: usize,
    ) -> Result<Vec<i64>> {
        self.connection
            .prepare(&format!("SELECT id FROM {} WHERE kept_at < ?1 ORDER BY id LIMIT ?2", kind.table()))?
            .query_map(params![at.timestamp_millis(), i64::try_from(most).unwrap_or(i64::MAX)], |row| {
                row.get(0)
            })?
            .collect()
    }

    pub(in crate::outbox) fn record_delivered(
        &self,
        fingerprints: &[Fingerprint],
        at: DateTime<Utc>,
    ) -> Result<()> {
        sqlite::record_delivered(&self.connection, fingerprints, at)
    }

    pub(in crate::outbox) fn last_delivered(&self, most: usize) -> Result<Vec<(Fingerprint, DateTime<Utc>)>> {
        sqlite::last_delivered(&self.connection, most)
    }

    /// Stores a value, or removes it.
    pub(in crate::outbox) fn keep_value(&self, name: &str, value: Option<i64>) -> Result<()> {
        sqlite::keep_value(&self.connection, name, value)
    }

    /// Stores a job as the backend has it.
    pub(in crate::outbox) fn set_job(&self, subject: &str, sequence: i64, job: &Task) -> Result<()> {
        self.remember(subject, sequence)?;
        sqlite::put_job(&self.connection, job)
    }

    pub(in crate::outbox) fn remove_job(&self, subject: &str, id: &str) -> Result<()> {
        self.forget(subject)?;
        self.connection.execute("DELETE FROM jobs WHERE id = ?1", [id.parse::<i64>().unwrap_or(0)])?;
        Ok(())
    }

    pub(in crate::outbox) fn jobs(&self, most: usize) -> Result<Vec<Task>> {
        sqlite::jobs(&self.connection, most)
    }

    pub(in crate::outbox) fn values(&self, begin: &str) -> Result<Vec<(String, i64)>> {
        sqlite::values(&self.connection, begin)
    }

    pub(in crate::outbox) fn dead_letters_page(
        &self,
        filter: &Filter,
        from: PageFrom,
        most: usize,
    ) -> Result<Vec<DeadLetter>> {
        sqlite::dead_letters(&self.connection, filter, from, most)
    }

    pub(in crate::outbox) fn rejects_page(
        &self,
        filter: &Filter,
        from: PageFrom,
        most: usize,
    ) -> Result<Vec<StoredReject>> {
        sqlite::rejects(&self.connection, filter, from, most)
    }

    pub(in crate::outbox) fn numbers(
        &self,
        kind: Kind,
        filter: &Filter,
        after: i64,
        most: usize,
    ) -> Result<Vec<i64>> {
        sqlite::numbers(&self.connection, kind, filter, PageFrom::After(after), most)
    }

    /// The records may be read in another order than they were stored, so this is not the number of the last row.
    pub(in crate::outbox) fn newest_number(&self) -> Result<i64> {
        let newest = "SELECT MAX(id) FROM (SELECT id FROM dead_letters UNION ALL SELECT id FROM rejects)";
        let newest = self.connection.query_row(newest, [], |row| row.get::<_, Option<i64>>(0))?;
        Ok(newest.unwrap_or(0))
    }

    pub(in crate::outbox) fn groups(&self) -> Result<Vec<Group>> {
        sqlite::groups(&self.connection)
    }

    /// The parked calls after a position, of users that are in its lane.
    pub(in crate::outbox) fn parked_after(
        &self,
        filter: &WaitingFilter,
        after: Position,
        most: usize,
        is_in_lane: impl Fn(&str) -> bool,
    ) -> Result<Vec<Parked>> {
        let (mut found, mut cursor) = (Vec::new(), after);
        while found.len() < most {
            let page = sqlite::parked_page(&self.connection, filter, cursor, PAGE)?;
            let is_last = page.len() < PAGE;
            cursor = page.last().map_or(cursor, |row| row.job.place.position());
            let of_lane = page.into_iter().filter(|row| is_in_lane(row.job.user.as_str()));
            found.extend(of_lane.map(|row| in_lane(row, after.lane)));
            if is_last {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }

    /// A user's first parked call, and its event.
    pub(in crate::outbox) fn first_parked(
        &self,
        destination: &str,
        user: &str,
        lane: u16,
    ) -> Result<Option<(Position, EventId)>> {
        let first = sqlite::first_parked(&self.connection, destination, user)?;
        Ok(first.map(|(position, event)| (Position { lane, ..position }, event)))
    }

    pub(in crate::outbox) fn job(&self, id: i64) -> Result<Option<Task>> {
        sqlite::job(&self.connection, id)
    }

    /// The number after the highest that a job ever had.
    pub(in crate::outbox) fn next_job(&self) -> Result<i64> {
        self.connection.query_row("SELECT coalesce(max(id), 0) + 1 FROM jobs", [], |row| row.get(0))
    }

    /// The ended jobs beyond the newest `most`.
    pub(in crate::outbox) fn ended_jobs(&self, most: usize) -> Result<Vec<i64>> {
        let open = [JobState::Running, JobState::Paused].map(JobState::name);
        self.connection
            .prepare(
                "SELECT id FROM jobs WHERE state NOT IN (?1, ?2) AND id <= (SELECT max(id) FROM jobs) - ?3 LIMIT 100",
            )?
            .query_map(params![open[0], open[1], i64::try_from(most).unwrap_or(i64::MAX)], |row| row.get(0))?
            .collect()
    }
}

/// A parked call in the lane that its user is in.
pub(in crate::outbox) fn in_lane(mut parked: Parked, lane: u16) -> Parked {
    if let Place::Parked { position, .. } = &mut parked.job.place {
        position.lane = lane;
    }
    parked
}
