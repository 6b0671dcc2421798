//! The handle of an outbox in a SQLite file, which every stage clones: opens it, shows its state, closes it.
//!
//! `changes` has what goes through the writer, `reads` what reads the file.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use tokio::sync::{Semaphore, broadcast, mpsc, watch};

use super::command::Command;
use super::space::Space;
use super::writer::{Writer, WriterState};
use super::{self as sqlite, LANE, Store};
use crate::facts::Facts;
use crate::outbox::clock::Clock;
use crate::outbox::damage::{Damage, Stored};
use crate::outbox::priority::Background;
use crate::outbox::tail::Tail;
use crate::outbox::{Kind, NoRoom, OpenError, Options, Position, Usage};
use crate::telemetry::Timings;

/// The memory for submissions that wait for their commit. If it is used up, senders are asked to try again.
pub(super) const SUBMISSION_MEMORY_KIB: usize = 64 * 1024;
/// The size of the newest chunks that are kept in memory for destinations without a backlog.
const TAIL_BYTES: usize = 16 << 20;
/// The number of operators' retries that may queue for a dispatcher.
const DUE_CAPACITY: usize = 16;
/// A cheap clone. The outbox closes when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Outbox {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) shown: Arc<WriterState>,
    pub(super) reader: Arc<Mutex<Connection>>,
    pub(super) room: Arc<Semaphore>,
    /// Held while calls are moved to another destination.
    moving: Arc<tokio::sync::Mutex<()>>,
    thread: Arc<Mutex<Option<std::thread::JoinHandle<()>>>>,
    pub(super) facts: Facts,
    path: Arc<Path>,
}

impl Outbox {
    /// Opens or creates the outbox and starts its writer. Blocks on the disk. What the last run left can be read. Emits
    /// what is received as a fact after its commit.
    pub fn open(options: &Options, facts: Facts) -> Result<Self, OpenError> {
        let path = &options.path;
        let database =
            |source: rusqlite::Error| OpenError::Database { path: path.clone(), source: source.into() };
        let store = Store::open(path)?;
        sqlite::warn_of_readers(path);
        let reader = sqlite::open_reader(path)?;
        let damage = Damage::default();
        report_damage(&store.connection, &damage, path).map_err(database)?;
        let last = sqlite::last_id(&store.connection).map_err(database)?;
        let space = space(&store.connection, options).map_err(database)?;
        let clock = Clock::new(sqlite::running_time(&store.connection).map_err(database)?);
        let shown = Arc::new(WriterState {
            tail: Mutex::new(Tail::new(TAIL_BYTES, last)),
            latest: watch::Sender::new(last),
            failed: watch::Sender::new(false),
            space,
            damage,
            commits: Timings::default(),
            due: broadcast::Sender::new(DUE_CAPACITY),
            background: Background::default(),
            clock,
        });
        let writer = Writer::new(store, options, Arc::clone(&shown), facts.clone()).map_err(database)?;
        let (commands, received) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("outbox".to_owned())
            .spawn(move || writer.run(received))
            .map_err(|source| OpenError::Writer { path: path.clone(), source })?;
        Ok(Self {
            commands,
            shown,
            reader: Arc::new(Mutex::new(reader)),
            room: Arc::new(Semaphore::new(SUBMISSION_MEMORY_KIB)),
            moving: Arc::default(),
            facts,
            thread: Arc::new(Mutex::new(Some(thread))),
            path: Arc::from(path.as_path()),
        })
    }

    pub(in crate::outbox) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::outbox) fn moving(&self) -> &tokio::sync::Mutex<()> {
        &self.moving
    }

    pub fn background(&self) -> &Background {
        &self.shown.background
    }

    pub fn usage(&self) -> Usage {
        self.shown.space.usage()
    }

    pub fn limits(&self) -> (u64, u64) {
        self.shown.space.limits()
    }

    pub fn commit_timings(&self) -> &Timings {
        &self.shown.commits
    }

    pub fn free_disk(&self) -> Option<u64> {
        self.shown.space.free_disk()
    }

    pub fn room(&self) -> Result<(), NoRoom> {
        self.shown.space.room_for_a_post()
    }

    pub fn made_due(&self) -> broadcast::Receiver<Arc<[(String, String)]>> {
        self.shown.due.subscribe()
    }

    pub fn committed(&self) -> watch::Receiver<i64> {
        self.shown.latest.subscribe()
    }

    pub(in crate::outbox) fn latest_position(&self) -> Position {
        Position::after_chunk(LANE, *self.shown.latest.borrow())
    }

    pub fn failed(&self) -> watch::Receiver<bool> {
        self.shown.failed.subscribe()
    }

    pub fn running_time(&self) -> DateTime<Utc> {
        self.shown.clock.now().running
    }

    pub(in crate::outbox) fn report(&self, stored: Stored, damaged: impl Iterator<Item = i64>) {
        damaged.for_each(|id| self.shown.damage.report(stored, id));
    }

    pub fn damaged(&self, stored: Stored) -> u64 {
        self.shown.damage.count(stored)
    }

    /// Commits what is waiting and closes the file. Blocks until the writer has ended.
    pub async fn close(&self) {
        let _ = self.commands.send(Command::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// Repairs progress and reports damaged rows. It checks every row that would be sent in a file of moderate size; in a larger file
/// damage is found when its row is read.
fn report_damage(connection: &Connection, damage: &Damage, path: &Path) -> rusqlite::Result<()> {
    for chunk in sqlite::repair_progress(connection)? {
        damage.report(Stored::Progress, chunk);
    }
    if sqlite::is_moderate(path) {
        for id in sqlite::damaged_calls(connection)? {
            damage.report(Stored::Call, id);
        }
        for (kind, stored) in [(Kind::DeadLetter, Stored::DeadLetter), (Kind::Reject, Stored::Reject)] {
            for id in sqlite::damaged_letters(connection, kind)? {
                damage.report(stored, id);
            }
        }
    }
    Ok(())
}

fn space(connection: &Connection, options: &Options) -> rusqlite::Result<Space> {
    let mut waiting = sqlite::chunk_amount(connection)?;
    waiting.add(sqlite::parked_amount(connection)?);
    let usage = Usage {
        waiting,
        dead_letters: sqlite::letters_amount(connection, Kind::DeadLetter)?,
        rejects: sqlite::letters_amount(connection, Kind::Reject)?,
    };
    Ok(Space::new(options, usage, sqlite::reusable_bytes(connection)?))
}
