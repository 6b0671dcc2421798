//! What the handle reads: lists and counts from the local copy, and the waiting calls of all lanes. Reading changes nothing.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::super::jobs::Job as Task;
use tokio::sync::oneshot;

use super::super::sqlite::Mirror;
use super::super::{
    Archive, DeadLetter, Filter, Group, Kind, OpenError as AnyOpenError, PageFrom, Position, ReadError,
    StoredReject, WaitingFilter, WaitingPage,
};
use super::command::Command;
use super::handle::Outbox;
use super::scan::{self, Scan};
use crate::event_id::EventId;

/// How long a read waits for what this relay stored before it.
pub(super) const READ_ANSWER: Duration = Duration::from_secs(5);

impl Outbox {
    /// Reads the local copy, with everything that this relay stored before.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Mirror) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let stored = self.shared.followed(self.shared.stored());
        tokio::time::timeout(READ_ANSWER, stored).await.map_err(|_| ReadError::Away)?;
        self.shared.read(query).await
    }

    pub async fn jobs(&self, most: usize) -> Result<Vec<Task>, ReadError> {
        self.read(move |mirror| mirror.jobs(most)).await
    }

    pub async fn job(&self, id: i64) -> Result<Option<Task>, ReadError> {
        self.read(move |mirror| mirror.job(id)).await
    }

    pub async fn kept_values(&self, begin: &'static str) -> Result<Vec<(String, i64)>, ReadError> {
        self.read(move |mirror| mirror.values(begin)).await
    }

    pub async fn dead_letters(
        &self,
        filter: &Filter,
        from: PageFrom,
        most: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        let filter = filter.clone();
        self.read(move |mirror| mirror.dead_letters_page(&filter, from, most)).await
    }

    pub async fn rejects(
        &self,
        filter: &Filter,
        from: PageFrom,
        most: usize,
    ) -> Result<Vec<StoredReject>, ReadError> {
        let filter = filter.clone();
        self.read(move |mirror| mirror.rejects_page(&filter, from, most)).await
    }

    pub async fn numbers(
        &self,
        kind: Kind,
        filter: &Filter,
        after: i64,
        most: usize,
    ) -> Result<Vec<i64>, ReadError> {
        let filter = filter.clone();
        self.read(move |mirror| mirror.numbers(kind, &filter, after, most)).await
    }

    pub async fn newest_number(&self) -> Result<i64, ReadError> {
        self.read(|mirror| mirror.newest_number()).await
    }

    pub async fn groups(&self) -> Result<Vec<Group>, ReadError> {
        self.read(|mirror| mirror.groups()).await
    }

    pub fn archive(&self) -> Result<Archive, AnyOpenError> {
        let path = self.shared.mirror.lock().unwrap_or_else(PoisonError::into_inner).path().to_owned();
        Archive::open(&path)
    }

    /// Returns the waiting calls of all lanes, also of those that other relays own.
    pub async fn waiting(
        &self,
        filter: WaitingFilter,
        after: Option<Position>,
        most: usize,
    ) -> Result<WaitingPage, ReadError> {
        scan::page(self, &filter, after, most).await
    }

    /// Stores this relay's record, and returns its sequence. Everything that any relay stored before has a lower one, and is in the
    /// local copy as far as it belongs there.
    pub(super) async fn mark(&self) -> Result<u64, ReadError> {
        let (reply, marked) = oneshot::channel();
        self.commands.send(Command::Mark { reply }).map_err(|_| ReadError::Closed)?;
        let marked = async {
            let sequence = marked.await.map_err(|_| ReadError::Closed)?.map_err(|_| ReadError::Away)?;
            self.shared.followed(sequence).await;
            Ok(sequence)
        };
        tokio::time::timeout(READ_ANSWER, marked).await.map_err(|_| ReadError::Away)?
    }

    pub async fn waiting_by_destination(&self) -> Result<BTreeMap<String, u64>, ReadError> {
        let mut counts = BTreeMap::new();
        let mut scan = Scan::all(&self.shared, self.mark().await?).await?;
        while let Some(chunk) = scan.next().await? {
            chunk.count(&mut counts);
        }
        scan.close().await;
        // A call that was parked meanwhile is no longer in its chunk, so parked calls are counted after the chunks.
        self.mark().await?;
        for (destination, parked) in self.shared.read(|mirror| mirror.parked_destinations()).await? {
            *counts.entry(destination).or_default() += parked;
        }
        Ok(counts)
    }

    pub async fn oldest_waiting(&self) -> Result<Option<DateTime<Utc>>, ReadError> {
        // Metrics ask for this often, so the relay stores no record for it.
        let mut scan = Scan::all(&self.shared, self.shared.stored()).await?;
        let first = scan.next().await?;
        scan.close().await;
        let parked = self.read(|mirror| mirror.oldest_parked()).await?;
        let in_chunks = first.and_then(|chunk| chunk.all_jobs().first().map(|job| job.event));
        let oldest = [parked, in_chunks].into_iter().flatten().filter(|id| id.has_time());
        Ok(oldest.min().map(EventId::time))
    }
}
