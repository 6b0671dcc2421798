//! The history thread: receives facts, writes blocks, and keeps the file within its bounds.
//!
//! No stage waits for it. Events that cannot be written, usually because the disk is full, are counted and not recorded. The
//! thread tries again every few seconds and continues when it succeeds.

mod keeping;
mod packing;
mod shared;
mod showing;
mod writing;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::archive::LengthsBefore;
use super::intake::Intake;
use super::reader::Step;
use super::series::{self, Counters, Slot};
use super::store::{self, PackedBlock, Store};
use crate::facts::{Batch, Fact, Inbox, NoFact, RefusedRequestGroup, RefusedRequestKey};

use packing::Packer;
pub(super) use shared::Shared;

/// The pause between two polls of the inbox while facts come. Because the thread polls, no stage has to wake it.
const PAUSE: Duration = Duration::from_millis(25);
/// The longest sleep while no facts come.
const IDLE: Duration = Duration::from_millis(250);
/// The interval of saving: a kill loses at most this much of the history.
const SAVE: Duration = Duration::from_secs(5);
const SAMPLE: Duration = Duration::from_secs(10);
const HOUSEKEEPING: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// The name under which the groups of refused requests are stored.
const REFUSED_REQUESTS: &str = "door";
/// The name under which [`LengthsBefore`] is stored.
const ARCHIVING: &str = "archiving";

/// The time of each regular task.
struct Due {
    save: Instant,
    sample: Instant,
    housekeeping: Instant,
    tick: Instant,
}

pub(super) struct Recorder {
    store: Option<Store>,
    shared: Arc<Shared>,
    intake: Intake,
    inbox: Inbox,
    counters: Counters,
    keep: Duration,
    archive: Option<PathBuf>,
    packer: Packer,
    due: Due,
    /// A block that could not be written yet.
    unwritten: Option<PackedBlock>,
    /// The number of the first line that viewers have not seen.
    first_unseen: i64,
    /// The number of received events at the last tick.
    received_at_tick: u64,
    /// The wall clock, and when it was read.
    clock: (DateTime<Utc>, Instant),
    /// After a jump of the clock: until when nothing is removed for its age.
    mistrusted_until: Option<Instant>,
}

/// What a recorder is made of.
pub(super) struct RecorderParts {
    pub(super) store: Store,
    pub(super) shared: Arc<Shared>,
    pub(super) intake: Intake,
    pub(super) inbox: Inbox,
    pub(super) counters: Counters,
    pub(super) keep: Duration,
    pub(super) archive: Option<PathBuf>,
}

impl Recorder {
    pub(super) fn new(parts: RecorderParts) -> Self {
        let RecorderParts { store, shared, intake, inbox, counters, keep, archive } = parts;
        let now = Instant::now();
        let first_unseen = shared.buffer().first;
        let recorder = Self {
            store: Some(store),
            shared,
            intake,
            inbox,
            counters,
            keep,
            archive,
            packer: Packer::default(),
            due: Due { save: now + SAVE, sample: now, housekeeping: now, tick: now },
            unwritten: None,
            first_unseen,
            received_at_tick: 0,
            clock: (Utc::now(), now),
            mistrusted_until: None,
        };
        recorder.restore();
        recorder
    }

    /// Restores the state of an earlier run: the slots that are being filled, and the refused requests.
    fn restore(&self) {
        let Some(store) = &self.store else { return };
        let now = Utc::now().timestamp_millis();
        for step in [Step::Minute, Step::Hour] {
            let at = series::begin(now, step);
            let rows = store::series_rows(&store.connection, step.milliseconds(), at, at).unwrap_or_default();
            let slot = rows.first().and_then(|(at, body)| Slot::unpack(*at, body));
            if let Some(slot) = slot {
                self.shared.series().restore(step, slot);
            }
        }
        let before = store::state(&store.connection, ARCHIVING).ok().flatten().unwrap_or_default();
        if let (Some(folder), Ok(before)) = (&self.archive, serde_json::from_slice::<LengthsBefore>(&before))
            && store.oldest().ok().flatten().is_some_and(|oldest| oldest.id <= before.block)
        {
            // The relay was killed after it appended this block to the archive and before it removed it. The block will be appended
            // again, so the first copy is cut off.
            before.restore(folder);
        }
        let refused = store::state(&store.connection, REFUSED_REQUESTS).ok().flatten().unwrap_or_default();
        // Groups that another version wrote in another form are dropped: they are only counts.
        let groups: Vec<(RefusedRequestKey, RefusedRequestGroup)> =
            serde_json::from_slice(&refused).unwrap_or_default();
        self.inbox.refused_requests().restore(groups);
    }

    /// Records until the thread is stopped or no stage can send facts any more, then writes what it has.
    pub(super) fn run(mut self, stop: &CancellationToken) {
        loop {
            let polled = self.take_facts();
            let now = Instant::now();
            self.write_full_blocks(now, false);
            self.do_what_is_due(now);
            match polled {
                Polled::Closed => return self.finish(),
                Polled::Nothing if stop.is_cancelled() => return self.finish(),
                Polled::Nothing => {}
                Polled::Facts => std::thread::sleep(PAUSE),
            }
        }
    }

    fn take_facts(&mut self) -> Polled {
        let mut next = self.inbox.take(IDLE);
        match next {
            Err(NoFact::Yet) => return Polled::Nothing,
            Err(NoFact::Ever) => return Polled::Closed,
            Ok(_) => {}
        }
        while let Ok(fact) = next {
            match fact {
                Fact::Batch(batch) => {
                    let now = Instant::now();
                    self.take_batch(&batch, now);
                    self.inbox.give_back(batch);
                    self.write_full_blocks(now, false);
                }
                rare => self.take_rare(&rare),
            }
            next = self.inbox.take(Duration::ZERO);
        }
        Polled::Facts
    }

    fn take_batch(&mut self, batch: &Batch, now: Instant) {
        let is_paused = self.is_paused();
        self.shared.received.fetch_add(batch.events, Ordering::Relaxed);
        let mut buffer = self.shared.buffer();
        self.intake.learn(batch, &mut buffer);
        if is_paused {
            self.shared.not_recorded.fetch_add(batch.events, Ordering::Relaxed);
        } else {
            self.intake.take(batch, now, &mut buffer);
        }
    }

    fn take_rare(&mut self, fact: &Fact) {
        let Some(store) = &self.store else { return };
        let written = match fact {
            Fact::Mappings(mappings) => store.add_mappings(mappings),
            Fact::Mark(mark) => store.add_mark(mark),
            Fact::Batch(_) => Ok(()),
        };
        if let Err(error) = written {
            self.failed(&error, None);
        }
    }

    fn do_what_is_due(&mut self, now: Instant) {
        if now >= self.due.tick {
            self.due.tick = now + SECOND;
            let received = self.shared.received.load(Ordering::Relaxed);
            self.shared.live.tick(received - self.received_at_tick);
            self.received_at_tick = received;
            *self.shared.left_out.lock().unwrap_or_else(PoisonError::into_inner) = self.inbox.left_out();
        }
        if now >= self.due.save {
            self.due.save = now + SAVE;
            self.save();
        }
        if now >= self.due.sample {
            self.due.sample = now + SAMPLE;
            self.sample();
        }
        if now >= self.due.housekeeping {
            self.due.housekeeping = now + HOUSEKEEPING;
            self.do_housekeeping(now);
        }
    }

    fn finish(mut self) {
        self.write_full_blocks(Instant::now(), true);
        self.sample();
        if let Some(store) = self.store.take() {
            store.close();
        }
    }
}

/// The result of polling the inbox.
enum Polled {
    Nothing,
    Facts,
    /// No more facts will come.
    Closed,
}
