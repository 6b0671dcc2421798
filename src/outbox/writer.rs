//! The one thread that writes the outbox: it takes whatever waits, commits it as one group, then answers.
//!
//! No timer: while one commit is being synced the next group gathers. Whatever a group staged is undone, on disk
//! and in memory, if its commit fails; for want of room that is all, for any other reason nothing more is written until
//! a restart. Never blocks on anything but the disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{broadcast, mpsc, watch};

use super::clock::Clock;
use super::command::Command;
use super::damage::Damage;
use super::lane::Background;
use super::recent::Recent;
use super::space::Space;
use super::sqlite::{self, Progress, Store};
use super::stage::Group;
use super::tail::Tail;
use super::{AcceptError, Amount, Options, Retention, Settlement, Usage};
use crate::facts::Facts;
use crate::telemetry::Timings;

/// Commands taken into one commit at most.
const MOST_COMMANDS: usize = 1024;
/// Settlements that a full disk did not take are tried again after this.
const AGAIN: Duration = Duration::from_millis(50);
/// Bytes that one commit parks or buries, and those of one request more at most.
const PIECE: usize = 1 << 20;
/// With more than so many commands kept in memory because the disk is full, a restart is better: their calls are then
/// made once more.
const MOST_KEPT: usize = 10_000;

/// What the writer shows to everybody else.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) tail: Mutex<Tail>,
    /// Id of the newest committed chunk; a reader waits on it.
    pub(super) latest: watch::Sender<i64>,
    /// Set once a commit has failed.
    pub(super) failed: watch::Sender<bool>,
    pub(super) space: Space,
    pub(super) damage: Damage,
    /// How long commits took.
    pub(super) commits: Timings,
    /// Users whose parked calls were made due: the destination, the user.
    pub(super) due: broadcast::Sender<Arc<[(String, String)]>>,
    pub(super) background: Background,
}

pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) shown: Arc<Shown>,
    facts: Facts,
    pub(super) recent: Recent,
    /// Chunks of which some requests are settled and some are not.
    pub(super) progress: HashMap<i64, Progress>,
    pub(super) usage: Usage,
    pub(super) dead_letters: Retention,
    pub(super) rejects: Retention,
    pub(super) clock: Clock,
    /// In running time.
    pub(super) housekeeping_at: DateTime<Utc>,
    /// The newest chunk and the newest reject that were committed.
    last_chunk: i64,
    last_reject: i64,
}

impl Writer {
    pub(super) fn new(
        store: Store,
        options: &Options,
        shown: Arc<Shown>,
        facts: Facts,
    ) -> rusqlite::Result<Self> {
        let connection = &store.connection;
        let clock = Clock::new(sqlite::running_time(connection)?);
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
            // With the first commit.
            housekeeping_at: now,
        })
    }

    /// Writes until it is told to close or every handle is gone.
    pub(super) fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let _watch = Watch(Arc::clone(&self.shown));
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
        // After a failed commit nobody knows what is on disk: the next start compares it with what was committed.
        if !*self.shown.failed.borrow() {
            self.store.close();
        }
    }

    /// Commits all that waits, as one group unless it parks or buries much. What could not be stored for want of room is left
    /// waiting.
    fn commit(&mut self, waiting: &mut Vec<Command>) {
        let Err(error) = self.commit_in_pieces(waiting) else { return };
        let Some(why) = passing(&error) else { return self.fail(waiting, &error) };
        self.shown.space.refused(&error);
        let mut kept: Vec<Command> = waiting.drain(..).filter_map(|command| command.refuse(why)).collect();
        if kept.len() > MOST_KEPT {
            return self.fail(&mut kept, &error);
        }
        // What was delivered needs little room, and makes some: by itself it may fit, and then the rest, too.
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

    /// After an error what was not committed is left, in order.
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

    /// After a commit: shows the new chunks, then answers.
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
            // Without a dispatcher nobody listens.
            let _ = self.shown.due.send(group.due.into());
        }
        for buried in &group.buried {
            tracing::warn!(
                dead_letter.id = buried.id,
                event.id = %buried.event,
                destination.name = buried.destination,
                mapping.name = buried.mapping,
                reason.code = buried.reason.code(),
                http.status = buried.status,
                "a call became a dead letter: `accoil-relay dead-letters show {}` shows it",
                buried.id
            );
        }
        for (command, outcome) in waiting.drain(..).zip(group.outcomes) {
            command.answer(outcome, &self.facts);
        }
    }

    /// On a disk that is nearly full the log is copied into the file at once: were it to grow first, there might be no room
    /// for its pages in the file, and no room for anything else in the log.
    fn make_room(&self) -> rusqlite::Result<()> {
        if self.shown.space.is_tight() {
            self.store.copy_log()?;
            self.shown.space.set_log(self.store.log_bytes());
        }
        Ok(())
    }

    /// Takes back what a group staged. Marks in `progress` may stay: what they mark is settled, and is stored again
    /// with the settlements that are kept.
    fn undo(&mut self, group: &Group) -> rusqlite::Result<()> {
        for identity in &group.identities {
            self.recent.forget(identity);
        }
        let connection = &self.store.connection;
        // SQLite may have ended the transaction by itself.
        if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        // Once it is copied into the file, the log is used from its beginning again: that makes room in it.
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

/// Waits for commands and takes what is there; false when there will be none any more. Does not wait for long
/// while something is left from before.
fn take(commands: &mut mpsc::UnboundedReceiver<Command>, waiting: &mut Vec<Command>) -> bool {
    if waiting.is_empty() {
        return commands.blocking_recv_many(waiting, MOST_COMMANDS) > 0;
    }
    std::thread::sleep(AGAIN);
    let most = waiting.len() + MOST_COMMANDS;
    while waiting.len() < most
        && let Ok(command) = commands.try_recv()
    {
        waiting.push(command);
    }
    !(commands.is_closed() && commands.is_empty())
}

/// Splits off what is left for later commits: a commit that parks or buries much would use up the room for the log at once.
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

/// Takes the settlements that only remove something out of these commands.
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

/// What senders are told when a commit failed for a reason that passes.
fn passing(error: &rusqlite::Error) -> Option<AcceptError> {
    if sqlite::is_full(error) {
        Some(AcceptError::Full)
    } else {
        sqlite::is_locked(error).then_some(AcceptError::Busy)
    }
}

/// After a failure: whoever asks is told so; settlements are dropped, their calls will be made once more.
fn refuse(waiting: &mut Vec<Command>) {
    for command in waiting.drain(..) {
        drop(command.refuse(AcceptError::Failed));
    }
}

/// A writer that panics leaves a relay that must not look ready.
struct Watch(Arc<Shown>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the outbox's writer panicked: nothing more is accepted until a restart");
            self.0.failed.send_replace(true);
        }
    }
}
