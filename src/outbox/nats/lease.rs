//! Leases: which lanes this relay renews, takes and gives back. The owner counts monotonic time from before it sent the renewal, the
//! others from when they saw it, so that no clock has to be right.

use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use super::super::handle::Outbox as AnyOutbox;
use super::super::{Lane, Lanes, Lease};
use super::batch::Message;
use super::codec::{self, LeaseRecord};
use super::commit::{Change, ChangeKind, Committer, Held};
use super::lane::OwnedLane;
use super::stage::Group;
use super::state::fair_share;

impl Committer {
    /// Adds the changes of leases that are due to the batch.
    pub(super) fn plan(&mut self, group: &mut Group) -> Vec<Change> {
        let now = Instant::now();
        let (is_closing, renew_after) = (self.is_closing(), self.settings.renew_after());
        let mut changes = Vec::new();
        if !is_closing {
            self.begin_to_leave(now);
        }
        for (lane, held) in &self.held {
            let kind = if is_closing || held.leaves_at.is_some_and(|at| now >= at) {
                ChangeKind::GiveBack
            } else if now >= held.renewed_at + renew_after {
                ChangeKind::Renew
            } else {
                continue;
            };
            changes.push((*lane, kind, held.lane.epoch, held.sequence));
        }
        if !is_closing && now >= self.takes_after {
            changes.extend(self.free_lanes(now));
        }
        let mut planned = Vec::new();
        for (lane, kind, epoch, expected) in changes {
            let record = LeaseRecord {
                relay: self.shared.relay.clone(),
                epoch,
                lease_ms: self.settings.lease_ms(),
                is_free: kind == ChangeKind::GiveBack,
            };
            let subject = self.shared.subjects.lease(lane);
            let message =
                group.push(Message::new(subject.clone(), codec::json(&record)).expect(subject, expected));
            planned.push(Change { lane, kind, epoch, message });
        }
        planned
    }

    /// Lanes beyond this relay's share are given back: no call of them is started any more, and when the last one in flight must have
    /// ended, they are free.
    fn begin_to_leave(&mut self, now: Instant) {
        let relays = self.shared.with_state(|state| state.live_relays(&self.shared.relay, now));
        let staying = self.held.values().filter(|held| held.leaves_at.is_none()).count();
        let surplus = staying.saturating_sub(fair_share(self.shared.meta.lanes, relays));
        let leaves_at = now + self.settings.call_timeout;
        for held in self.held.values_mut().filter(|held| held.leaves_at.is_none()).take(surplus) {
            held.leaves_at = Some(leaves_at);
            held.lane.lease.renew(now);
        }
    }

    /// Free lanes up to this relay's share, beginning with one that depends on the relay, so that relays seldom want the same.
    fn free_lanes(&self, now: Instant) -> Vec<(u16, ChangeKind, u64, u64)> {
        let lanes = self.shared.meta.lanes;
        let begin =
            self.shared.relay.bytes().fold(0_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.shared.with_state(|state| {
            let share = fair_share(lanes, state.live_relays(&self.shared.relay, now));
            let most = share.saturating_sub(self.held.len());
            (0..lanes)
                .map(|lane| begin.wrapping_add(lane) % lanes)
                .filter(|lane| !self.held.contains_key(lane) && state.is_free(*lane, now))
                .take(most)
                .map(|lane| {
                    let seen = state.lease(lane);
                    let (epoch, sequence) =
                        seen.map_or((1, 0), |seen| (seen.record.epoch + 1, seen.sequence));
                    (lane, ChangeKind::Take, epoch, sequence)
                })
                .collect()
        })
    }

    /// A change of a lease was stored with this sequence, in a batch that ends at `last` and was sent at `began`.
    pub(super) fn changed_lease(&mut self, change: &Change, sequence: u64, last: u64, began: Instant) {
        let until = began + self.settings.lease;
        match change.kind {
            ChangeKind::Renew => {
                if let Some(held) = self.held.get_mut(&change.lane) {
                    held.sequence = sequence;
                    held.renewed_at = began;
                    if held.leaves_at.is_none() {
                        held.lane.lease.renew(until);
                    }
                }
            }
            ChangeKind::GiveBack => self.lose(change.lane),
            ChangeKind::Take => {
                let lease = Lease::until(until);
                let lane = Arc::new(OwnedLane::new(change.lane, change.epoch, lease, sequence));
                let held = Held { lane: Arc::clone(&lane), sequence, renewed_at: began, leaves_at: None };
                self.held.insert(change.lane, held);
                self.show_when_followed(lane, last);
            }
        }
    }

    /// A lane is worked on when everything that its last owner stored is known here.
    fn show_when_followed(&self, lane: Arc<OwnedLane>, last: u64) {
        let (shared, outbox) = (Arc::clone(&self.shared), AnyOutbox::Nats(self.outbox.clone()));
        self.shared.spawn("gain of a lane", async move {
            shared.followed(last).await;
            if lane.lease.has_ended() {
                return;
            }
            tracing::debug!(lane = lane.id, epoch = lane.epoch, "owns a lane");
            let shown = Lane::new(lane.id, lane.epoch, lane.lease.clone(), outbox);
            let mut owned = shared.owned.lock().unwrap_or_else(PoisonError::into_inner);
            owned.insert(lane.id, Arc::clone(&lane));
            drop(owned);
            shared.lanes.send_modify(|lanes: &mut Lanes| {
                lanes.owned.retain(|other| other.id() != lane.id);
                lanes.owned.push(shown);
            });
        });
    }

    /// Another relay may own the lane now.
    pub(super) fn lose(&mut self, lane: u16) {
        let Some(held) = self.held.remove(&lane) else { return };
        tracing::debug!(lane, epoch = held.lane.epoch, "no longer owns a lane");
        held.lane.lease.end();
        let mut owned = self.shared.owned.lock().unwrap_or_else(PoisonError::into_inner);
        if owned.get(&lane).is_some_and(|owned| owned.epoch == held.lane.epoch) {
            owned.remove(&lane);
        }
        drop(owned);
        self.shared.lanes.send_modify(|lanes| {
            lanes.owned.retain(|other| (other.id(), other.epoch()) != (lane, held.lane.epoch));
        });
        self.shared.spawn("end of a lane", async move { held.lane.close().await });
    }
}
