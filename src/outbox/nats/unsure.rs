//! Finds out what the cluster has: after a batch without an answer, after a refusal, and after this relay stood still.
//!
//! Nothing is decided by a read alone, because a server that is no longer the leader may answer it. A batch without an answer may
//! even be stored later. So the relay stores a record of its own in its place: then the batch can never be stored. If that is
//! refused, the record that is there tells by its number which batch it came with.

use std::time::Duration;

use tokio::time::Instant;

use super::batch::{self, BatchError};
use super::codec::{LeaseRecord, RelayRecord};
use super::commit::{ANSWER, Committer};
use super::group::Group;

/// How long the relay waits for the answer that decides what became of a batch.
const DECISION: Duration = Duration::from_secs(3);

impl Committer {
    pub(super) fn is_connected(&self) -> bool {
        self.shared.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Finds out whether the batch without an answer was stored; returns false if that is still not known.
    pub(super) async fn resolve(&mut self) -> bool {
        self.let_others_renew();
        let number = self.next_number();
        let marker = self.with_record(&Group::default(), number);
        let id = format!("{}-{number}", self.shared.relay);
        let began = Instant::now();
        match batch::publish(&self.shared.client, &id, marker, DECISION).await {
            Ok(last) => {
                (self.own, self.recorded_at) = (last, began);
                self.shared.note_stored(last);
                self.unanswered.take().into_iter().for_each(|batch| self.give_up(batch));
            }
            Err(BatchError::Refused) => {
                let Some((sequence, record)) = self.own_record().await else { return false };
                if sequence == self.own {
                    // This server does not know what the leader knows.
                    return false;
                }
                if let Some(mut batch) = self.unanswered.take() {
                    if batch.number == record.batch {
                        let count = batch.group.messages.len() as u64 + 1;
                        if record.is_fenced {
                            // The sequences of its messages are not known any more.
                            batch.group.dead.clear();
                        }
                        // When it was stored is unknown: its leases count from long ago, until they are renewed.
                        let began = Instant::now().checked_sub(self.settings.lease);
                        self.stored(batch, sequence, count, began.unwrap_or_else(Instant::now));
                    } else {
                        self.give_up(batch);
                    }
                }
                (self.own, self.record) = (sequence, record);
                self.reads_first = self.reads_first.max(Some(sequence));
            }
            Err(BatchError::NoAnswer | BatchError::Failed(_)) => return false,
        }
        self.check().await
    }

    /// Reads this relay's record and its leases from the cluster: a lane whose lease is another's is lost. Before anything else is
    /// stored, the relay reads all records up to the newest of these.
    pub(super) async fn check(&mut self) -> bool {
        match self.own_record().await {
            Some((sequence, record)) if sequence > self.own || sequence == 0 => {
                (self.own, self.record) = (sequence, record);
                // Even if the leases cannot be read now.
                self.reads_first = self.reads_first.max(Some(sequence));
            }
            Some(_) => {}
            None => return false,
        }
        let mut newest = self.own;
        for lane in self.leased.keys().copied().collect::<Vec<_>>() {
            let Some(found) = self.shared.newest(&self.shared.subjects.lease(lane)).await else {
                return false;
            };
            let lease = found.and_then(|(sequence, body)| {
                Some((sequence, serde_json::from_slice::<LeaseRecord>(&body).ok()?))
            });
            match (lease, self.leased.get_mut(&lane)) {
                (Some((sequence, lease)), Some(leased))
                    if lease.relay == self.shared.relay
                        && lease.epoch == leased.lane.epoch
                        && !lease.is_free =>
                {
                    leased.sequence = sequence;
                }
                (lease, _) => {
                    newest = newest.max(lease.map_or(0, |(sequence, _)| sequence));
                    self.lose(lane);
                }
            }
        }
        self.reads_first = Some(newest);
        self.has_read_first().await
    }

    /// Waits until everything is read that must be read before anything is stored.
    pub(super) async fn has_read_first(&mut self) -> bool {
        let Some(sequence) = self.reads_first else { return true };
        let has_read = tokio::time::timeout(ANSWER, self.shared.followed(sequence)).await.is_ok();
        if has_read {
            self.reads_first = None;
        }
        has_read
    }

    /// This relay's record as the cluster has it, and its sequence; `None` if the cluster does not answer. If another relay took this one for
    /// gone, it counts what the record said elsewhere: then this relay begins anew.
    async fn own_record(&self) -> Option<(u64, RelayRecord)> {
        let found = self.shared.newest(&self.shared.subjects.relay(&self.shared.relay)).await?;
        let new = || RelayRecord { lease_ms: self.settings.lease_ms(), ..RelayRecord::default() };
        Some(found.map_or_else(
            || (0, new()),
            |(sequence, body)| (sequence, serde_json::from_slice(&body).unwrap_or_else(|_| new())),
        ))
    }
}
