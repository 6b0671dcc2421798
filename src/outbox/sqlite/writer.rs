//! The only thread that writes the outbox: it takes whatever waits, commits it as one group, then answers.
//!
//! There is no timer: while one commit is synced, the next group gathers. If a commit fails, everything that its
//! group staged is undone, on disk and in memory. If the disk was full, the writer then continues; after any other
//! failure it writes nothing more until a restart. It blocks only on the disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{broadcast, mpsc, watch};

use super::command::Command;
use super::space::Space;
use super::stage::Group;
use super::{self as sqlite, Progress, Store};
use crate::facts::Facts;
use crate::outbox::clock::Clock;
use crate::outbox::damage::Damage;
use crate::outbox::priority::Background;
use crate::outbox::recent::Recent;
use crate::outbox::tail::Tail;
use crate::outbox::{AcceptError, Amount, Options, Retention, Settlement, Usage};
use crate::telemetry::Timings;

/// The most commands in one commit.
const MAX_COMMANDS: usize = 1024;
/// Settlements that did not fit on a full disk are retried after this time.
const SETTLE_RETRY: Duration = Duration::from_millis(50);
/// The bytes that one commit parks or turns into dead letters. The last request may exceed it.
const PIECE: usize = 1 << 20;
/// With more commands than this kept in memory because the disk is full, a restart is better: their calls are then
/// made once more.
const MAX_KEPT: usize = 10_000;

/// The part of the writer's state that other threads can see.
#[derive(Debug)]
pub(super) struct WriterState {
    pub(super) tail: Mutex<Tail>,
    /// The id of the newest committed chunk; readers wait for it to change.
    pub(super) latest: watch::Sender<i64>,
    /// True once a commit has failed.
    pub(super) failed: watch::Sender<bool>,
    pub(super) space: Space,
    pub(super) damage: Damage,
    /// How long commits took.
    pub(super) commits: Timings,
    /// Users whose parked calls were made due: destination and user.
    pub(super) due: broadcast::Sender<Arc<[(String, String)]>>,
    pub(super) background: Background,
    pub(super) clock: Clock,
}

pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) shown: Arc<WriterState>,
    facts: Facts,
    pub(super) recent: Recent,
    /// Chunks in which some requests are settled and some are not.
    pub(super) progress: HashMap<i64, Progress>,
    pub(super) usage: Usage,
    pub(super) dead_letters: Retention,
    pub(super) rejects: Retention,
    pub(super) clock: Clock,
    /// In running time.
    pub(super) housekeeping_at: DateTime<Utc>,
    /// The newest committed chunk and reject.
    last_chunk: i64,
    last_reject: i64,
}

impl Writer {
    pub(super) fn new(
        store: Store,
        options: &Options,
        shown: Arc<WriterState>,
        facts: Facts,
    ) -> rusqlite::Result<Self> {
        let connection = &store.connection;
        let clock = shown.clock;
        let now = clock.now().running;
        let mut recent = Recent::new(options.deduplication_ids, options.longest_window, now);
        let horizon = recent.horizon(now);
        sqlite::remembered(connection, |at, ids| at >= horizon && recent.restore(ids, at))?;
        let progress = sqlite::progress(connection)?.into_iter().collect();
        let usage = shown.space.usage();
        let (last_chunk, last_reject) = (sqlite::last_id(connection)?, sqlite::last_reject(connection)?);
        Ok(Self {
            last_chunk,
            last_reject,
            store,
            shown,
            facts,
            recent,
            progress,
            usage,
            dead_letters: options.dead_letters,
            rejects: options.rejects,
            clock,
            // Housekeeping runs with the first commit.
            housekeeping_at: now,
        })
    }

    /// Writes until it is asked to close or every handle is dropped.
    pub(super) fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let _watch = PanicGuard(Arc::clone(&self.shown));
        let mut waiting = Vec::new();
        while take(&mut commands, &mut waiting) {
            let is_last = waiting.iter().any(|command| matches!(command, Command::Close));
            if *self.shown.failed.borrow() {
                refuse(&mut waiting);
            } else {
                self.commit(&mut waiting);
            }
            if is_last {
                break;
            }
        }
        // After a failed commit it is unknown what is on disk: the next start compares it with what was committed.
        if !*self.shown.failed.borrow() {
            self.store.close();
        }
    }

    /// Commits everything that waits, as one group unless it parks much or makes many dead letters. What did not fit
    /// on the disk stays waiting.
    fn commit(&mut self, waiting: &mut Vec<Command>) {
        let Err(error) = self.commit_in_pieces(waiting) else { return };
        let Some(why) = passing(&error) else { return self.fail(waiting, &error) };
        self.shown.space.refused(&error);
        let mut kept: Vec<Command> = waiting.drain(..).filter_map(|command| command.refuse(why)).collect();
        if kept.len() > MAX_KEPT {
            return self.fail(&mut kept, &error);
        }
        // Settlements of delivered calls need little room and free some: they may fit alone, and then the rest may
        // fit too.
        let mut delivered = take_delivered(&mut kept);
        for commands in [&mut delivered, &mut kept] {
            if let Err(error) = self.commit_in_pieces(commands)
                && passing(&error).is_none()
            {
                return self.fail(commands, &error);
            }
        }
        *waiting = delivered;
        waiting.append(&mut kept);
    }

    /// After an error, what was not committed stays in `waiting`, in order.
    fn commit_in_pieces(&mut self, waiting: &mut Vec<Command>) -> rusqlite::Result<()> {
        while !waiting.is_empty() {
            let mut later = split(waiting);
            let committed = self.try_commit(waiting);
            waiting.append(&mut later);
            committed?;
        }
        Ok(())
    }

    fn try_commit(&mut self, waiting: &mut Vec<Command>) -> rusqlite::Result<()> {
        let usage = self.usage;
        let mut group = Group::default();
        let began = Instant::now();
        let now = self.clock.now();
        match self.store(waiting, &mut group, now) {
            Ok(()) => {
                self.shown.commits.add(began.elapsed());
                self.publish(group, waiting);
                self.make_room()
            }
            Err(error) => {
                self.usage = usage;
                self.usage.waiting.remove(Amount { rows: group.marked, bytes: 0 });
                self.undo(&group)?;
                Err(error)
            }
        }
    }

    /// After a commit: emits what was received, publishes the new chunks, then answers.
    fn publish(&mut self, group: Group, waiting: &mut Vec<Command>) {
        self.last_chunk = group.chunks.last().map_or(self.last_chunk, |chunk| chunk.id);
        self.last_reject = self.last_reject.max(group.reject);
        self.store.write_mark(self.last_chunk, self.last_reject);
        self.shown.space.set_usage(self.usage);
        self.shown.space.set_log(self.store.log_bytes());
        for chunk in &group.completed {
            self.progress.remove(chunk);
        }
        if !group.completed.is_empty()
            && let Ok(bytes) = sqlite::reusable_bytes(&self.store.connection)
        {
            self.shown.space.set_reusable(bytes);
        }
        // Before a dispatcher can make the calls, so that the history gets an event before the outcomes of its calls.
        for (command, outcome) in waiting.iter().zip(&group.outcomes) {
            command.emit(outcome, &self.facts);
        }
        // Before a dispatcher can settle them.
        for (destination, calls) in group.background {
            self.shown.background.add(&destination, calls);
        }
        if let Some(latest) = group.chunks.last().map(|chunk| chunk.id) {
            let mut tail = self.shown.tail.lock().unwrap_or_else(PoisonError::into_inner);
            for chunk in group.chunks {
                tail.push(Arc::new(chunk));
            }
            drop(tail);
            self.shown.latest.send_replace(latest);
        }
        if !group.due.is_empty() {
            // Without a dispatcher there is no receiver.
            let _ = self.shown.due.send(group.due.into());
        }
        for new_dead_letters in &group.new_dead_letters {
            tracing::warn!(
                dead_letter.id = new_dead_letters.id,
                event.id = %new_dead_letters.event,
                destination.name = new_dead_letters.destination,
                mapping.name = new_dead_letters.mapping,
                reason.code = new_dead_letters.reason.code(),
                http.status = new_dead_letters.status,
                "a call became a dead letter: `accoil-relay dead-letters show {}` shows it",
                new_dead_letters.id
            );
        }
        for (command, outcome) in waiting.drain(..).zip(group.outcomes) {
            command.answer(outcome);
        }
    }

    /// On a disk that is nearly full, copies the log into the file immediately. If the log grew first, there might be
    /// no room for its pages in the file, and then no room for anything else in the log.
    fn make_room(&self) -> rusqlite::Result<()> {
        if self.shown.space.is_tight() {
            self.store.copy_log()?;
            self.shown.space.set_log(self.store.log_bytes());
        }
        Ok(())
    }

    /// Undoes what a group staged. Marks in `progress` may stay: the marked requests are settled, and are stored
    /// again with the settlements that are kept.
    fn undo(&mut self, group: &Group) -> rusqlite::Result<()> {
        for identity in &group.identities {
            self.recent.forget(identity);
        }
        for chunk in &group.chunks {
            self.progress.remove(&chunk.id);
        }
        let connection = &self.store.connection;
        // SQLite may have ended the transaction itself.
        if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        // After the log is copied into the file, it is used from its beginning again, which makes room in it.
        self.store.copy_log()
    }

    fn fail(&self, waiting: &mut Vec<Command>, error: &rusqlite::Error) {
        let advice = if sqlite::is_damaged(error) {
            "the database file is damaged; restart with `serve --recover-outbox`"
        } else {
            "check the disk, then restart the relay"
        };
        tracing::error!(
            error.message = %error,
            "the outbox could not store to disk: nothing more is accepted until a restart; {advice}"
        );
        self.shown.failed.send_replace(true);
        refuse(waiting);
    }
}

/// Waits for commands and takes what is there; returns false if no more can come. Waits only briefly while something
/// is left from before.
fn take(commands: &mut mpsc::UnboundedReceiver<Command>, waiting: &mut Vec<Command>) -> bool {
    if waiting.is_empty() {
        return commands.blocking_recv_many(waiting, MAX_COMMANDS) > 0;
    }
    std::thread::sleep(SETTLE_RETRY);
    let most = waiting.len() + MAX_COMMANDS;
    while waiting.len() < most
        && let Ok(command) = commands.try_recv()
    {
        waiting.push(command);
    }
    !(commands.is_closed() && commands.is_empty())
}

/// Leaves a part of the commands for later commits: a commit that parks much or makes many dead letters would use up
/// the room for the log at once.
fn split(waiting: &mut Vec<Command>) -> Vec<Command> {
    let mut bytes = 0;
    for index in 0..waiting.len() {
        let Some(Command::Settle(settlements)) = waiting.get_mut(index) else { continue };
        let end = settlements.iter().position(|settlement| {
            bytes += settlement.stored_bytes();
            bytes > PIECE
        });
        if let Some(end) = end {
            let rest = settlements.split_off(end + 1);
            let mut later = waiting.split_off(index + 1);
            if !rest.is_empty() {
                later.insert(0, Command::Settle(rest));
            }
            return later;
        }
    }
    Vec::new()
}

/// Removes from these commands the settlements that only delete something.
fn take_delivered(commands: &mut Vec<Command>) -> Vec<Command> {
    let mut delivered = Vec::new();
    for command in commands.iter_mut() {
        if let Command::Settle(settlements) = command {
            let is_delivered =
                |settlement: &mut Settlement| matches!(settlement, Settlement::Delivered { .. });
            delivered.extend(settlements.extract_if(.., is_delivered));
        }
    }
    commands.retain(|command| !matches!(command, Command::Settle(settlements) if settlements.is_empty()));
    if delivered.is_empty() { Vec::new() } else { vec![Command::Settle(delivered)] }
}

/// Returns the error for senders if a commit failed for a temporary reason.
fn passing(error: &rusqlite::Error) -> Option<AcceptError> {
    if sqlite::is_full(error) {
        Some(AcceptError::Full)
    } else {
        sqlite::is_locked(error).then_some(AcceptError::Busy)
    }
}

/// After a failure, tells every caller. Settlements are dropped, because their calls will be made once more.
fn refuse(waiting: &mut Vec<Command>) {
    for command in waiting.drain(..) {
        drop(command.refuse(AcceptError::Failed));
    }
}

/// If the writer panics, the relay must not look ready.
struct PanicGuard(Arc<WriterState>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the outbox's writer panicked: nothing more is accepted until a restart");
            self.0.failed.send_replace(true);
        }
    }
}
