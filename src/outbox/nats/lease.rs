//! Leases: which lanes this relay renews, takes and gives back. The owner counts monotonic time from before it sent the renewal, the
//! others from when they saw it, so that no clock has to be right.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::handle::Outbox as AnyOutbox;
use super::super::{Lane, Lanes, Lease};
use super::batch::{self, Message};
use super::codec::{self, LeaseRecord, RelayRecord};
use super::commit::{Committer, Drained, LeasedLane, Leaving};
use super::group::Group;
use super::lane::OwnedLane;
use super::state::fair_share;

/// The answer to a call that ended with the call's time is settled within this.
const ANSWERED: Duration = Duration::from_millis(500);

/// What a batch changes about a lane's lease.
#[derive(Debug, Clone)]
pub(super) struct LeaseChange {
    pub(super) lane: u16,
    kind: ChangeKind,
    epoch: u64,
    /// Its message in the batch.
    message: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChangeKind {
    Renew,
    Take,
    GiveBack,
}

/// A change before it is a message.
struct Wish {
    lane: u16,
    kind: ChangeKind,
    epoch: u64,
    /// The sequence that the lease must have.
    expected: u64,
}

impl Committer {
    /// Adds the changes of leases that are due to the batch, as many as fit.
    pub(super) fn plan(&mut self, group: &mut Group) -> Vec<LeaseChange> {
        let now = Instant::now();
        let (is_closing, renew_after) = (self.is_closing(), self.settings.renew_after());
        let mut changes = Vec::new();
        if !is_closing {
            self.begin_to_leave(now);
        }
        for (lane, leased) in &self.leased {
            // Settlements of a lane come before its return.
            let is_drained = |leaving: &Leaving| leaving.drained == Drained::Yes || now >= leaving.latest;
            let leaves = leased.leaving.as_ref().is_some_and(is_drained) && self.waiting.is_empty();
            let kind = if is_closing || leaves {
                ChangeKind::GiveBack
            } else if now >= leased.renewed_at + renew_after {
                ChangeKind::Renew
            } else {
                continue;
            };
            let (epoch, expected) = (leased.lane.epoch, leased.sequence);
            changes.push(Wish { lane: *lane, kind, epoch, expected });
        }
        if !is_closing && now >= self.takes_after {
            changes.extend(self.free_lanes(now));
        }
        let room = batch::MOST_MESSAGES.saturating_sub(group.messages.len() + 1) / 2;
        let mut planned = Vec::new();
        for Wish { lane, kind, epoch, expected } in changes.into_iter().take(room) {
            if kind == ChangeKind::Take {
                self.fence_last_owner(lane, group);
            }
            let record = LeaseRecord {
                relay: self.shared.relay.clone(),
                epoch,
                lease_ms: self.settings.lease_ms(),
                is_free: kind == ChangeKind::GiveBack,
            };
            let subject = self.shared.subjects.lease(lane);
            let message =
                group.push(Message::new(subject.clone(), codec::json(&record)).expect(subject, expected));
            planned.push(LeaseChange { lane, kind, epoch, message });
        }
        planned
    }

    /// Takes over from a relay that fell silent. Whatever that relay sent and the cluster has not stored yet is refused from now on,
    /// and it stores nothing before it has read what happened meanwhile: otherwise it would accept events that its senders have sent
    /// again to other relays.
    fn fence_last_owner(&self, lane: u16, group: &mut Group) {
        let owner = self.shared.with_state(|state| {
            let lease = state.lease(lane).filter(|lease| !lease.record.is_free)?;
            Some(lease.record.relay.clone())
        });
        if let Some(owner) = owner.filter(|owner| *owner != self.shared.relay) {
            self.fence_relay(&owner, group);
        }
    }

    pub(super) fn fence_relay(&self, relay: &str, group: &mut Group) {
        let message = self.shared.with_state(|state| {
            let last = state.relay(relay).filter(|last| !last.record.is_stopped)?;
            let record = RelayRecord { is_stopped: true, is_fenced: true, ..last.record.clone() };
            let subject = self.shared.subjects.relay(relay);
            Some(Message::new(subject.clone(), codec::json(&record)).expect(subject, last.sequence))
        });
        if let Some(message) = message
            && !group.messages.iter().any(|other| other.subject == message.subject)
        {
            group.push(message);
        }
    }

    /// This relay received nothing from the others for a while. They may still be running, so it takes no lane before they had time to
    /// renew.
    pub(super) fn let_others_renew(&mut self) {
        self.takes_after = Instant::now() + self.settings.renew_after() + ANSWERED;
    }

    /// Lanes beyond this relay's share are given back: no call of them is started any more, and when the last one in flight has ended,
    /// they are free.
    fn begin_to_leave(&mut self, now: Instant) {
        let relays = self.shared.with_state(|state| state.live_relays(&self.shared.relay, now));
        let staying = self.leased.values().filter(|leased| leased.leaving.is_none()).count();
        let surplus = staying.saturating_sub(fair_share(self.shared.meta.lanes, relays));
        let latest = now + self.settings.call_timeout + ANSWERED;
        for leased in self.leased.values_mut().filter(|leased| leased.leaving.is_none()).take(surplus) {
            leased.leaving = Some(Leaving { latest, drained: Drained::No });
            leased.lane.lease.renew(now);
        }
        for (lane, leased) in &mut self.leased {
            if let Some(leaving) = &mut leased.leaving
                && leaving.drained == Drained::No
                && leased.lane.lease.calls() == 0
            {
                leaving.drained = Drained::Asked;
                self.outbox.note_drained(*lane, leased.lane.epoch);
            }
        }
    }

    /// The settlements of a lane that is being given back are here.
    pub(super) fn note_drained(&mut self, lane: u16, epoch: u64) {
        if let Some(leased) = self.leased.get_mut(&lane).filter(|leased| leased.lane.epoch == epoch)
            && let Some(leaving) = &mut leased.leaving
        {
            leaving.drained = Drained::Yes;
        }
    }

    /// Free lanes up to this relay's share, beginning with one that depends on the relay, so that relays seldom want the same.
    fn free_lanes(&self, now: Instant) -> Vec<Wish> {
        let lanes = self.shared.meta.lanes;
        let begin =
            self.shared.relay.bytes().fold(0_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.shared.with_state(|state| {
            let share = fair_share(lanes, state.live_relays(&self.shared.relay, now));
            let most = share.saturating_sub(self.leased.len());
            (0..lanes)
                .map(|lane| begin.wrapping_add(lane) % lanes)
                .filter(|lane| !self.leased.contains_key(lane) && state.is_free(*lane, now))
                .take(most)
                .map(|lane| {
                    let seen = state.lease(lane);
                    let (epoch, expected) =
                        seen.map_or((1, 0), |seen| (seen.record.epoch + 1, seen.sequence));
                    Wish { lane, kind: ChangeKind::Take, epoch, expected }
                })
                .collect()
        })
    }

    /// A batch that changes leases was stored: its messages are from `first` to `last`, and it was sent at `began`.
    pub(super) fn changed_leases(&mut self, changes: &[LeaseChange], first: u64, last: u64, began: Instant) {
        for change in changes {
            self.changed_lease(change, first + change.message as u64, last, began);
        }
    }

    fn changed_lease(&mut self, change: &LeaseChange, sequence: u64, last: u64, began: Instant) {
        let until = began + self.settings.lease;
        match change.kind {
            ChangeKind::Renew => {
                if let Some(leased) = self.leased.get_mut(&change.lane) {
                    leased.sequence = sequence;
                    leased.renewed_at = began;
                    if leased.leaving.is_none() {
                        leased.lane.lease.renew(until);
                    }
                }
            }
            ChangeKind::GiveBack => self.lose(change.lane),
            ChangeKind::Take => {
                let lease = Lease::until(until);
                let lane = Arc::new(OwnedLane::new(change.lane, change.epoch, lease, sequence));
                let leased =
                    LeasedLane { lane: Arc::clone(&lane), sequence, renewed_at: began, leaving: None };
                self.leased.insert(change.lane, leased);
                self.show_when_followed(lane, last);
            }
        }
    }

    /// A lane is worked on when everything that its last owner stored is known here.
    fn show_when_followed(&self, lane: Arc<OwnedLane>, last: u64) {
        let (shared, outbox) = (Arc::clone(&self.shared), AnyOutbox::Nats(self.outbox.clone()));
        self.shared.spawn("gain of a lane", async move {
            shared.followed(last).await;
            let shown = Lane::new(lane.id, lane.epoch, lane.lease.clone(), outbox);
            // [`Self::lose`] ends the lease before it takes this lock.
            let mut owned = shared.owned.lock().unwrap_or_else(PoisonError::into_inner);
            if lane.lease.has_ended() {
                return;
            }
            tracing::debug!(lane = lane.id, epoch = lane.epoch, "owns a lane");
            owned.insert(lane.id, Arc::clone(&lane));
            shared.lanes.send_modify(|lanes: &mut Lanes| {
                lanes.owned.retain(|other| other.id() != lane.id);
                lanes.owned.push(shown);
            });
        });
    }

    /// Another relay may own the lane now.
    pub(super) fn lose(&mut self, lane: u16) {
        let Some(leased) = self.leased.remove(&lane) else { return };
        let (epoch, lost) = (leased.lane.epoch, leased.lane);
        tracing::debug!(lane, epoch, "no longer owns a lane");
        lost.lease.end();
        let mut owned = self.shared.owned.lock().unwrap_or_else(PoisonError::into_inner);
        if owned.get(&lane).is_some_and(|owned| owned.epoch == epoch) {
            owned.remove(&lane);
        }
        self.shared.lanes.send_modify(|lanes| {
            lanes.owned.retain(|other| (other.id(), other.epoch()) != (lane, epoch));
        });
        drop(owned);
        self.shared.spawn("end of a lane", async move { lost.close().await });
    }
}
