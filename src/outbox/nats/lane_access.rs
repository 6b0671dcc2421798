//! What the dispatcher of a lane reads and settles: the part of the handle that works on one lane.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::super::chunk::Chunk;
use super::super::sqlite::in_lane;
use super::super::{Parked, Position, ReadError, Retry, Settlement};
use super::command::Command;
use super::copy_reads::READ_ANSWER;
use super::handle::{AT_A_TIME, Outbox};
use super::lane::OwnedLane;
use crate::accoil::Fingerprint;

/// Parked calls of one user that are returned at a time.
const MAX_PARKED: usize = 16;

impl Outbox {
    fn owned(&self, lane: u16, epoch: u64) -> Option<Arc<OwnedLane>> {
        self.shared.owned(lane).filter(|owned| owned.epoch == epoch)
    }

    pub fn latest_position(&self, lane: u16, epoch: u64) -> Position {
        let newest = self.owned(lane, epoch).map_or(0, |owned| owned.newest());
        Position::after_chunk(lane, newest)
    }

    pub async fn next_chunk(&self, after: Position, epoch: u64) -> Result<Option<Arc<Chunk>>, ReadError> {
        let Some(owned) = self.owned(after.lane, epoch) else { return Ok(None) };
        owned.next_chunk(&self.shared, after.chunk).await
    }

    pub fn settle(&self, lane: u16, epoch: u64, settlements: Vec<Settlement>) {
        let mut settlements = settlements.into_iter();
        loop {
            let settlements: Vec<_> = settlements.by_ref().take(AT_A_TIME).collect();
            if settlements.is_empty()
                || self.commands.send(Command::Settle { lane, epoch, settlements }).is_err()
            {
                return;
            }
        }
    }

    /// The calls of a lane have ended: its settlements are before this.
    pub(super) fn note_drained(&self, lane: u16, epoch: u64) {
        let _ = self.commands.send(Command::Drained { lane, epoch });
    }

    pub async fn parked(
        &self,
        lane: u16,
        destination: &str,
        users: Vec<String>,
    ) -> Result<Vec<Parked>, ReadError> {
        tokio::time::timeout(READ_ANSWER, self.flush()).await.map_err(|_| ReadError::Away)??;
        let destination = destination.to_owned();
        self.read(move |mirror| {
            let mut parked = Vec::new();
            for user in users {
                let of_user = mirror.parked_of(&destination, &user, MAX_PARKED)?;
                parked.extend(of_user.into_iter().map(|parked| in_lane(parked, lane)));
            }
            Ok(parked)
        })
        .await
    }

    pub async fn parked_users(
        &self,
        lane: u16,
        destination: &str,
    ) -> Result<Vec<(String, Option<Retry>)>, ReadError> {
        let destination = destination.to_owned();
        let mut users = self.read(move |mirror| mirror.parked_users(&destination)).await?;
        users.retain(|(user, _)| self.shared.lane_of(user) == lane);
        Ok(users)
    }

    pub async fn parked_in_background(&self, lane: u16, destination: &str) -> Result<u64, ReadError> {
        Ok(self.parked_summary(lane, destination).await?.iter().map(|(_, background)| background).sum())
    }

    pub async fn resume_point(&self, lane: u16, destination: &str) -> Result<Option<Position>, ReadError> {
        let newest = self.parked_summary(lane, destination).await?.iter().map(|(chunk, _)| *chunk).max();
        Ok(newest.map(|chunk| Position::after_chunk(lane, chunk)))
    }

    async fn parked_summary(&self, lane: u16, destination: &str) -> Result<Vec<(i64, u64)>, ReadError> {
        let destination = destination.to_owned();
        let users = self.read(move |mirror| mirror.parked_summary(&destination)).await?;
        let of_lane = users.into_iter().filter(|(user, _, _)| self.shared.lane_of(user) == lane);
        Ok(of_lane.map(|(_, chunk, background)| (chunk, background)).collect())
    }

    pub async fn last_delivered(&self, most: usize) -> Result<Vec<(Fingerprint, DateTime<Utc>)>, ReadError> {
        self.read(move |mirror| mirror.last_delivered(most)).await
    }
}
