//! Handles the answer to a batch: the batch was stored, it was not stored, or the relay does not know.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::{AcceptError, Receipt};
use super::batch::BatchError;
use super::command::Command;
use super::commit::{Committer, UnansweredBatch};
use super::group::{Group, Outcome};
use crate::facts::Received;

/// The wait after another relay changed a record first.
const YIELD: Duration = Duration::from_millis(300);

impl UnansweredBatch {
    /// A batch that changes nothing.
    pub(super) fn empty(number: u64) -> Self {
        Self { number, group: Group::default(), staged: Vec::new(), leases: Vec::new() }
    }
}

impl Committer {
    /// A batch of `count` messages was stored, the last of them at `last`.
    pub(super) fn stored(&mut self, batch: UnansweredBatch, last: u64, count: u64, began: Instant) {
        let UnansweredBatch { number, group, staged, leases } = batch;
        self.shared.set_away(false);
        self.own = last;
        self.recorded_at = began;
        self.record.added.add(group.added.rows, group.added.bytes);
        self.record.removed.add(group.removed.rows, group.removed.bytes);
        (self.record.batch, self.record.is_stopped, self.record.is_fenced) = (number, false, false);
        let (relay, record) = (self.shared.relay.clone(), self.record.clone());
        self.shared.with_state(|state| state.see_relay(&relay, last, record, Instant::now()));
        self.shared.note_stored(last);
        self.forget_completed(&group);
        self.stored_small_records(&group, last);
        self.shared.ids.lock().unwrap_or_else(PoisonError::into_inner).stored(&group.identities);
        let first = last + 1 - count;
        for (lane, message) in &group.chunks {
            if let Some(lane) = self.lane(*lane) {
                lane.note_stored(first + *message as u64);
                self.shared.committed.send_modify(|count| *count += 1);
            }
        }
        self.changed_leases(&leases, first, last, began);
        for new in &group.dead {
            let id = first + new.message as u64;
            tracing::warn!(
                dead_letter.id = id,
                event.id = %new.event,
                destination.name = new.destination,
                mapping.name = new.mapping,
                reason.code = new.reason.code(),
                http.status = new.status,
                "a call became a dead letter: `accoil-relay dead-letters show {id}` shows it",
            );
        }
        self.answer(staged, Some(last));
    }

    /// Handles a batch that was not stored, or perhaps not. Returns whether the next batch can be stored at once.
    pub(super) async fn failed(&mut self, batch: UnansweredBatch, error: BatchError) -> bool {
        match error {
            BatchError::NoAnswer => {
                // Senders get their answer now. Other commands wait until the cluster answers again.
                let UnansweredBatch { number, group, staged, leases } = batch;
                let staged = staged.into_iter().filter_map(|(command, outcome)| {
                    command.refuse(AcceptError::Away).map(|command| (command, outcome))
                });
                let staged = staged.collect();
                self.unanswered = Some(UnansweredBatch { number, group, staged, leases });
                self.lack();
                false
            }
            BatchError::Refused => {
                self.give_up(batch);
                self.takes_after = Instant::now() + YIELD;
                self.check().await
            }
            BatchError::Failed(reason) => {
                tracing::warn!(reason, "the NATS cluster did not store a batch; the relay tries again");
                self.give_up(batch);
                self.lack();
                tokio::time::sleep(YIELD).await;
                self.check().await;
                false
            }
        }
    }

    /// Puts the commands of a batch that was not stored back at the front of the queue, in their order.
    pub(super) fn give_up(&mut self, batch: UnansweredBatch) {
        self.undo(&batch.group);
        let mut waiting: Vec<Command> = batch.staged.into_iter().map(|(command, _)| command).collect();
        waiting.append(&mut self.waiting);
        self.waiting = waiting;
        self.closing = false;
    }

    /// Answers the waiting senders, because the cluster does not answer.
    pub(super) fn lack(&mut self) {
        self.shared.set_away(true);
        self.refuse_all(AcceptError::Away);
    }

    pub(super) fn refuse_all(&mut self, why: AcceptError) {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().filter_map(|command| command.refuse(why)).collect();
    }

    /// Emits what was received, and answers the callers: of changes when they are in the local copy, too, where the callers look.
    pub(super) fn answer(&self, staged: Vec<(Command, Outcome)>, stored: Option<u64>) {
        let mut changes = Vec::new();
        for (command, outcome) in staged {
            match (command, outcome) {
                (
                    Command::Accept { submission, replayed: None, reply, .. },
                    Outcome::Stored { duplicates },
                ) => {
                    let accepted = submission.accepted.len() - duplicates.len();
                    let receipt = Receipt { accepted, duplicates: duplicates.len() };
                    self.facts.received(&Received { duplicates: &duplicates, ..Received::new(&submission) });
                    let _ = reply.send(Ok(receipt));
                }
                (Command::Mark { reply }, _) => drop(reply.send(Ok(stored.unwrap_or(self.own)))),
                (Command::Settle { .. } | Command::Drained { .. }, _) => {}
                change => changes.push(change),
            }
        }
        if changes.is_empty() {
            return;
        }
        let (shared, facts, sequence) =
            (Arc::clone(&self.shared), self.facts.clone(), stored.unwrap_or(self.own));
        self.shared.spawn("answers of the outbox", async move {
            shared.followed(sequence).await;
            for (command, outcome) in changes {
                command.answer(outcome, &facts);
            }
        });
    }
}
