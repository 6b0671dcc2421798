//! The operations that read the file: with one connection, on a thread that may wait for the disk. The newest chunks are in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::handle::Outbox;
use super::{self as sqlite, LANE, waiting};
use crate::accoil::Fingerprint;
use crate::event_id::EventId;
use crate::outbox::chunk::Chunk;
use crate::outbox::damage::Stored;
use crate::outbox::jobs::Job;
use crate::outbox::tail::Next;
use crate::outbox::{
    DeadLetter, Filter, Group, Kind, PageFrom, Place, Position, ReadError, Retry, StoredReject,
    WaitingFilter, WaitingFor, WaitingPage,
};

impl Outbox {
    pub async fn chunk_after(&self, id: i64) -> Result<Option<Arc<Chunk>>, ReadError> {
        let next = self.shown.tail.lock().unwrap_or_else(PoisonError::into_inner).after(id);
        match next {
            Next::Chunk(chunk) => Ok(Some(chunk)),
            Next::None => Ok(None),
            Next::OnDisk => {
                let chunk = self.read(move |reader| sqlite::after(reader, id)).await?;
                let damaged = chunk.iter().filter(|chunk| !chunk.is_sound);
                self.report(Stored::Chunk, damaged.map(|chunk| chunk.id));
                Ok(chunk.map(Arc::new))
            }
        }
    }

    pub async fn parked_users(&self, destination: &str) -> Result<Vec<(String, Option<Retry>)>, ReadError> {
        let destination = destination.to_owned();
        self.read(move |reader| sqlite::parked_users(reader, &destination)).await
    }

    pub async fn parked_in_background(&self, destination: &str) -> Result<u64, ReadError> {
        let destination = destination.to_owned();
        self.read(move |reader| sqlite::parked_in_background(reader, &destination)).await
    }

    pub async fn resume_point(&self, destination: &str) -> Result<Option<Position>, ReadError> {
        let destination = destination.to_owned();
        let last = self.read(move |reader| sqlite::last_parked_chunk(reader, &destination)).await?;
        Ok(last.map(|chunk| Position::after_chunk(LANE, chunk)))
    }

    pub async fn last_delivered(&self, most: usize) -> Result<Vec<(Fingerprint, DateTime<Utc>)>, ReadError> {
        self.read(move |reader| sqlite::last_delivered(reader, most)).await
    }

    pub async fn waiting(
        &self,
        filter: WaitingFilter,
        after: Option<Position>,
        most: usize,
    ) -> Result<WaitingPage, ReadError> {
        let page = self.read(move |reader| waiting::page(reader, &filter, after, most)).await?;
        let damaged = page.calls.iter().filter(|call| call.waiting_for == WaitingFor::Damaged);
        let rows = damaged.filter_map(|call| match call.job.place {
            Place::Parked { row, .. } => Some(row),
            Place::Chunk { .. } => None,
        });
        self.report(Stored::Call, rows);
        Ok(page)
    }

    pub async fn waiting_by_destination(&self) -> Result<BTreeMap<String, u64>, ReadError> {
        let mut counts = self.read(sqlite::parked_destinations).await?;
        let mut cursor = 0;
        while let Some(chunk) = self.read(move |reader| sqlite::after(reader, cursor)).await? {
            cursor = chunk.id;
            chunk.count(&mut counts);
        }
        Ok(counts)
    }

    pub async fn oldest_waiting(&self) -> Result<Option<DateTime<Utc>>, ReadError> {
        self.read(|reader| {
            let oldest = [sqlite::oldest_parked(reader)?, sqlite::oldest_in_chunks(reader)?];
            Ok(oldest.into_iter().flatten().filter(|id| id.has_time()).min().map(EventId::time))
        })
        .await
    }

    pub async fn dead_letters(
        &self,
        filter: &Filter,
        from: PageFrom,
        most: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        let filter = filter.clone();
        let found = self.read(move |reader| sqlite::dead_letters(reader, &filter, from, most)).await?;
        let damaged = found.iter().filter(|letter| letter.is_damaged);
        self.report(Stored::DeadLetter, damaged.map(|letter| letter.id));
        Ok(found)
    }

    pub async fn rejects(
        &self,
        filter: &Filter,
        from: PageFrom,
        most: usize,
    ) -> Result<Vec<StoredReject>, ReadError> {
        let filter = filter.clone();
        let found = self.read(move |reader| sqlite::rejects(reader, &filter, from, most)).await?;
        let damaged = found.iter().filter(|reject| reject.is_damaged);
        self.report(Stored::Reject, damaged.map(|reject| reject.id));
        Ok(found)
    }

    pub async fn numbers(
        &self,
        kind: Kind,
        filter: &Filter,
        after: i64,
        most: usize,
    ) -> Result<Vec<i64>, ReadError> {
        let filter = filter.clone();
        self.read(move |reader| sqlite::numbers(reader, kind, &filter, PageFrom::After(after), most)).await
    }

    pub async fn newest_number(&self) -> Result<i64, ReadError> {
        self.read(sqlite::newest_number).await
    }

    pub async fn groups(&self) -> Result<Vec<Group>, ReadError> {
        self.read(sqlite::groups).await
    }

    pub async fn jobs(&self, most: usize) -> Result<Vec<Job>, ReadError> {
        self.read(move |reader| sqlite::jobs(reader, most)).await
    }

    pub async fn job(&self, id: i64) -> Result<Option<Job>, ReadError> {
        self.read(move |reader| sqlite::job(reader, id)).await
    }

    pub async fn kept_values(&self, begin: &'static str) -> Result<Vec<(String, i64)>, ReadError> {
        self.read(move |reader| sqlite::values(reader, begin)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let reader = Arc::clone(&self.reader);
        let read = move || query(&reader.lock().unwrap_or_else(PoisonError::into_inner));
        let result = tokio::task::spawn_blocking(read).await.map_err(|_| ReadError::Closed)?;
        if let Err(error) = &result
            && sqlite::is_damaged(error)
            && !self.shown.failed.send_replace(true)
        {
            tracing::error!(
                error.message = %error,
                "the outbox's database file is damaged: nothing more is accepted; restart with `serve --recover-outbox`"
            );
        }
        result.map_err(read_failed)
    }
}

/// Hides SQLite's error from the other stages, which only log its text.
pub(super) fn read_failed(error: rusqlite::Error) -> ReadError {
    ReadError::Failed(error.into())
}
