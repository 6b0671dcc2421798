//! The history thread: receives facts, writes blocks, and keeps the file within its bounds.
//!
//! No stage waits for it. Facts that cannot be written, usually because the disk is full, are left out and counted. The thread
//! tries again every few seconds and continues when it succeeds.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::State;
use super::archive::{self, Addition, Before};
use super::block::{self, Head};
use super::intake::Intake;
use super::live::Viewers;
use super::reader::Step;
use super::running::{Full, Running};
use super::series::{self, Counters, Sample, Series, Slot};
use super::store::{self, Part, Store, Written};
use crate::facts::{DoorGroup, DoorKey, Fact, Inbox, LeftOut};

/// The pause between two polls of the inbox while facts come. Polling means that senders never have to wake this thread.
const PAUSE: Duration = Duration::from_millis(25);
/// The longest sleep while no facts come.
const IDLE: Duration = Duration::from_millis(250);
/// The facts that are handled before readers may look again.
const MAX_FACTS: usize = 512;
/// The interval of saving: a kill loses at most this much of the history.
const SAVE: Duration = Duration::from_secs(5);
const SAMPLE: Duration = Duration::from_secs(10);
const HOUSEKEEPING: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// A viewer sees an event without its outcome after this time.
const SHOWN_AFTER: Duration = Duration::from_millis(500);
/// After a jump of the clock, nothing is removed for its age during this time.
const JUMP_PAUSE: Duration = Duration::from_secs(24 * 3600);
const JUMP: i64 = 600_000;
const MINUTES_KEPT: i64 = 7 * 24 * 3_600_000;
const HOURS_KEPT: i64 = 400 * 24 * 3_600_000;
/// The most blocks that are removed for their age at a time.
const MAX_REMOVED: usize = 64;
const DOOR: &str = "door";
/// The name under which the lengths of the archive's files before the last addition are stored.
const ARCHIVING: &str = "archiving";

/// The state that readers share with the thread.
#[derive(Debug)]
pub(super) struct Shared {
    running: Mutex<Running>,
    series: Mutex<Series>,
    /// Why nothing is recorded at the moment, if so.
    paused: Mutex<Option<String>>,
    left_out: Mutex<LeftOut>,
    /// Events that came while the file could not be written.
    not_recorded: AtomicU64,
    /// Events received since the start.
    pub(super) received: AtomicU64,
    pub(super) live: Viewers,
    max_bytes: u64,
    user_key: [u8; 16],
}

impl Shared {
    pub(super) fn new(running: Running, max_bytes: u64, user_key: [u8; 16]) -> Self {
        Self {
            running: Mutex::new(running),
            series: Mutex::default(),
            paused: Mutex::default(),
            left_out: Mutex::default(),
            not_recorded: AtomicU64::new(0),
            received: AtomicU64::new(0),
            live: Viewers::default(),
            max_bytes,
            user_key,
        }
    }

    pub(super) fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn series(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hashed(&self, user: &str) -> String {
        super::hashed(&self.user_key, user)
    }

    /// Adds the values that only this process knows.
    pub(super) fn complete(&self, state: &mut State) {
        let running = self.running();
        // A part of the running block may have been saved to the file.
        let saved = state.newest.as_ref().filter(|(block, ..)| *block >= running.block);
        let (events, payloads) = saved.map_or((0, 0), |(_, events, payloads)| (*events, *payloads));
        let kept = running.held.iter().filter(|held| held.payload.is_some()).count();
        state.events = state.events.saturating_sub(events) + running.held.len() as u64;
        state.payloads = state.payloads.saturating_sub(payloads) + kept as u64;
        if state.since.is_none() {
            state.since = running.held.front().map(|held| held.line.at());
        }
        drop(running);
        state.max_bytes = self.max_bytes;
        state.left_out = *self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        state.not_recorded = self.not_recorded.load(Ordering::Relaxed);
        state.paused.clone_from(&self.paused.lock().unwrap_or_else(PoisonError::into_inner));
        state.viewers = self.live.count();
    }
}

/// The time of each regular task.
struct Due {
    save: Instant,
    sample: Instant,
    housekeeping: Instant,
    tick: Instant,
}

pub(super) struct Recorder {
    pub(super) store: Option<Store>,
    pub(super) shared: Arc<Shared>,
    pub(super) intake: Intake,
    pub(super) inbox: Inbox,
    pub(super) counters: Counters,
    pub(super) keep: Duration,
    pub(super) archive: Option<PathBuf>,
    due: Due,
    /// A block that could not be written yet.
    stuck: Option<Written>,
    /// The number of the first line that viewers have not seen.
    announced: i64,
    ticked: u64,
    /// The wall clock and the time of its reading, and the end of the time in which it is not trusted.
    clock: (DateTime<Utc>, Instant),
    mistrusted_until: Option<Instant>,
}

/// The parts of a recorder.
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) shared: Arc<Shared>,
    pub(super) intake: Intake,
    pub(super) inbox: Inbox,
    pub(super) counters: Counters,
    pub(super) keep: Duration,
    pub(super) archive: Option<PathBuf>,
}

impl Recorder {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { store, shared, intake, inbox, counters, keep, archive } = parts;
        let now = Instant::now();
        let announced = shared.running().first;
        let recorder = Self {
            store: Some(store),
            shared,
            intake,
            inbox,
            counters,
            keep,
            archive,
            due: Due { save: now + SAVE, sample: now, housekeeping: now, tick: now },
            stuck: None,
            announced,
            ticked: 0,
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
        if let (Some(folder), Ok(before)) = (&self.archive, serde_json::from_slice::<Before>(&before))
            && store.oldest().ok().flatten().is_some_and(|oldest| oldest.id <= before.block)
        {
            // The relay was killed between the addition to the archive and the removal of the block, which will be appended again.
            before.restore(folder);
        }
        let door = store::state(&store.connection, DOOR).ok().flatten().unwrap_or_default();
        // If another version wrote the groups in another form they are dropped; they are only counts.
        let groups: Vec<(DoorKey, DoorGroup)> = serde_json::from_slice(&door).unwrap_or_default();
        self.inbox.door().restore(groups);
    }

    /// Records until the thread is stopped or every sender is gone, then writes what it has.
    pub(super) fn run(mut self, stop: &CancellationToken) {
        loop {
            let taken = self.take_facts();
            let now = Instant::now();
            self.write_full(now, false);
            self.do_what_is_due(now);
            self.announce(now);
            match taken {
                Taken::End => return self.finish(),
                Taken::Nothing if stop.is_cancelled() => return self.finish(),
                Taken::Nothing => {}
                Taken::Some => std::thread::sleep(PAUSE),
            }
        }
    }

    fn take_facts(&mut self) -> Taken {
        let mut first = match self.inbox.take(IDLE) {
            Ok(fact) => Some(fact),
            Err(RecvTimeoutError::Timeout) => return Taken::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Taken::End,
        };
        let shared = Arc::clone(&self.shared);
        let mut rare = Vec::new();
        while let Some(fact) = first.take() {
            let now = Instant::now();
            let mut running = shared.running();
            let mut next = Some(fact);
            for _ in 0..MAX_FACTS {
                let Some(fact) = next.take() else { break };
                match fact {
                    Fact::Received { received, has_payloads, .. } => {
                        let events = received.submission.events() as u64;
                        shared.received.fetch_add(events, Ordering::Relaxed);
                        if self.is_paused() {
                            shared.not_recorded.fetch_add(events, Ordering::Relaxed);
                        } else {
                            self.intake.take(received, has_payloads, now, &mut running);
                        }
                    }
                    Fact::Outcomes(_) if self.is_paused() => {}
                    Fact::Outcomes(outcomes) => running.outcomes(outcomes, now),
                    other => rare.push(other),
                }
                next = self.inbox.take(Duration::ZERO).ok();
            }
            drop(running);
            self.write_full(now, false);
            first = next;
        }
        for fact in &rare {
            self.take_rare(fact);
        }
        Taken::Some
    }

    fn take_rare(&mut self, fact: &Fact) {
        let Some(store) = &self.store else { return };
        let written = match fact {
            Fact::Mappings(mappings) => store.add_mappings(mappings),
            Fact::Mark(mark) => store.add_mark(mark),
            Fact::Received { .. } | Fact::Outcomes(_) => Ok(()),
        };
        if let Err(error) = written {
            self.failed(&error, None);
        }
    }

    fn do_what_is_due(&mut self, now: Instant) {
        if now >= self.due.tick {
            self.due.tick = now + SECOND;
            let received = self.shared.received.load(Ordering::Relaxed);
            self.shared.live.tick(received - self.ticked);
            self.ticked = received;
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
            self.keep_house(now);
        }
    }

    fn write_full(&mut self, now: Instant, all: bool) {
        while !self.is_paused() {
            let full = self.shared.running().take_full(now, all);
            let Some(full) = full else { return };
            self.write(pack(&full));
        }
    }

    /// Writes what is in memory, so that a kill loses only a few seconds. If an earlier write failed, tries it again.
    fn save(&mut self) {
        if let Some(stuck) = self.stuck.take() {
            self.write(stuck);
        }
        if self.stuck.is_some() {
            return;
        }
        let written = {
            let mut running = self.shared.running();
            if !running.take_changed() && !self.is_paused() {
                return;
            }
            let lines = running.held.iter().map(|held| &held.line);
            let payloads = running.held.iter().map(|held| held.payload.as_ref());
            (!running.is_empty())
                .then(|| packed(running.block, running.first, lines, payloads, &running.late))
        };
        match written {
            Some(written) => self.write(written),
            None => self.resume(),
        }
    }

    fn write(&mut self, written: Written) {
        match self.try_write(&written) {
            Ok(()) => self.resume(),
            Err(error) => self.failed(&error, Some(written)),
        }
    }

    fn try_write(&mut self, written: &Written) -> rusqlite::Result<()> {
        let (size, block) = (written.size(), written.head.id);
        while let Some(store) = &self.store {
            if !store.is_over(size)? {
                break;
            }
            let Some(oldest) = store.oldest()?.filter(|oldest| oldest.id < block) else { break };
            self.remove(&oldest)?;
        }
        self.store.as_mut().map_or(Ok(()), |store| store.write(written))
    }

    /// Archives a block, if there is an archive, and removes it.
    fn remove(&mut self, head: &Head) -> rusqlite::Result<()> {
        let Some(store) = &mut self.store else { return Ok(()) };
        if let Some(folder) = &self.archive
            && let Err(error) = archive_block(store, folder, head)?
        {
            tracing::warn!(
                error.message = error,
                events = head.events,
                "a part of the history left without being archived; check the folder history.archive"
            );
        }
        store.remove(head.id)
    }

    fn sample(&mut self) {
        let mut sample = Sample::default();
        (self.counters)(&mut sample);
        let changed = self.shared.series().add(Utc::now(), sample);
        let rows: Vec<_> =
            changed.iter().map(|(step, slot)| (step.milliseconds(), slot.at, slot.pack())).collect();
        let written = self.store.as_mut().map_or(Ok(()), |store| store.write_series(&rows));
        if let Err(error) = written {
            self.failed(&error, None);
        }
    }

    fn keep_house(&mut self, now: Instant) {
        if let Err(error) = self.try_keep_house(now) {
            self.failed(&error, None);
        }
    }

    fn try_keep_house(&mut self, now: Instant) -> rusqlite::Result<()> {
        self.watch_clock(now);
        let wall = Utc::now().timestamp_millis();
        if let Some(store) = &self.store {
            let groups = serde_json::to_vec(&self.inbox.door().groups()).unwrap_or_default();
            store.set_state(DOOR, &groups)?;
            store.remove_series(Step::Minute.milliseconds(), wall - MINUTES_KEPT)?;
            store.remove_series(Step::Hour.milliseconds(), wall - HOURS_KEPT)?;
            store.shrink()?;
        }
        if self.mistrusted_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let block = self.shared.running().block;
        for _ in 0..MAX_REMOVED {
            let oldest = self.store.as_ref().map_or(Ok(None), Store::oldest)?;
            let Some(oldest) = oldest.filter(|head| head.id < block && head.to < wall.saturating_sub(keep))
            else {
                break;
            };
            self.remove(&oldest)?;
        }
        Ok(())
    }

    /// Notes a jump of the clock: it must not remove at once what should be kept for a week.
    fn watch_clock(&mut self, now: Instant) {
        let (wall, at) = std::mem::replace(&mut self.clock, (Utc::now(), now));
        let ran = i64::try_from(now.duration_since(at).as_millis()).unwrap_or(i64::MAX);
        let jumped = (self.clock.0 - wall).num_milliseconds() - ran;
        if jumped.abs() > JUMP {
            self.mistrusted_until = Some(now + JUMP_PAUSE);
        }
    }

    fn is_paused(&self) -> bool {
        self.shared.paused.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Pauses recording until the file can be written. A damaged file is replaced.
    fn failed(&mut self, error: &rusqlite::Error, written: Option<Written>) {
        if store::is_damaged(error)
            && let Some(damaged) = self.store.take()
        {
            match damaged.begin_anew(error) {
                Ok(store) => {
                    // Without this key a search by user id would not find hashed users; everything else works.
                    let _ = store.set_state(super::USER_KEY, &self.shared.user_key);
                    self.store = Some(store);
                    return written.into_iter().for_each(|written| self.write(written));
                }
                Err(error) => tracing::error!(
                    error.message = %error,
                    "the history is damaged and cannot be begun anew: nothing is recorded until a restart; events are \
                     delivered as before"
                ),
            }
        }
        self.stuck = written.or(self.stuck.take());
        let mut paused = self.shared.paused.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.is_none() {
            tracing::warn!(
                error.message = %error,
                "the history cannot be written: nothing is recorded until it can be; events are delivered as before. Check \
                 the disk of history.url"
            );
            *paused = Some(error.to_string());
        }
    }

    fn resume(&mut self) {
        if self.store.is_none() {
            return;
        }
        let was_paused = self.shared.paused.lock().unwrap_or_else(PoisonError::into_inner).take().is_some();
        if was_paused {
            let events = self.shared.not_recorded.load(Ordering::Relaxed);
            tracing::info!(history.not_recorded = events, "the history is recorded again");
        }
    }

    /// Shows new lines to viewers, and shows changed lines again.
    fn announce(&mut self, now: Instant) {
        let mut running = self.shared.running();
        let end = running.first + i64::try_from(running.held.len()).unwrap_or(0);
        if self.shared.live.is_empty() {
            running.changed.clear();
            self.announced = end;
            return;
        }
        self.announced = self.announced.max(running.first);
        let changed = std::mem::take(&mut running.changed);
        let again = changed.into_iter().filter(|number| *number < self.announced);
        let again: std::collections::BTreeSet<i64> = again.collect();
        let index = |number: i64| usize::try_from(number - running.first).ok();
        for held in again.into_iter().filter_map(|number| running.held.get(index(number)?)) {
            self.shared.live.show(&held.line, held.payload.as_ref(), &self.intake.redactor);
        }
        while let Some(held) = index(self.announced).and_then(|index| running.held.get(index)) {
            if !held.line.is_settled() && now.duration_since(held.since) < SHOWN_AFTER {
                break;
            }
            self.shared.live.show(&held.line, held.payload.as_ref(), &self.intake.redactor);
            self.announced += 1;
        }
    }

    fn finish(mut self) {
        self.write_full(Instant::now(), true);
        self.sample();
        if let Some(store) = self.store.take() {
            store.close();
        }
    }
}

/// Appends a block to the archive. The inner error is about the archive or the block, the outer one about the history's file.
fn archive_block(store: &Store, folder: &Path, head: &Head) -> rusqlite::Result<Result<(), String>> {
    let lines = store::part(&store.connection, head.id, Part::Lines)?;
    let payloads = store::part(&store.connection, head.id, Part::Payloads)?;
    let block = match lines.and_then(|lines| archive::unpack(&lines, &payloads?)) {
        Ok(block) => block,
        Err(unreadable) => return Ok(Err(unreadable.to_string())),
    };
    let addition = match Addition::new(folder, head.id, &block) {
        Ok(addition) => addition,
        Err(error) => return Ok(Err(error.to_string())),
    };
    store.set_state(ARCHIVING, &serde_json::to_vec(&addition.before).unwrap_or_default())?;
    Ok(addition.append(folder).map_err(|error| error.to_string()))
}

/// The result of polling the inbox.
enum Taken {
    Nothing,
    Some,
    /// No more facts will come.
    End,
}

fn pack(full: &Full) -> Written {
    let lines = full.held.iter().map(|held| &held.line);
    let payloads = full.held.iter().map(|held| held.payload.as_ref());
    packed(full.id, full.first, lines, payloads, &full.late)
}

fn packed<'h>(
    id: i64,
    first: i64,
    lines: impl ExactSizeIterator<Item = &'h super::Line> + Clone,
    payloads: impl Iterator<Item = Option<&'h super::Payload>>,
    late: &[block::Late],
) -> Written {
    let keys: Vec<u64> = lines.clone().flat_map(block::keys).collect();
    let payloads = payloads.enumerate().filter_map(|(index, payload)| Some((index, payload?)));
    Written {
        head: Head::of(id, first, lines.clone(), late),
        bloom: super::bloom::filter(&keys),
        lines: block::pack_lines(lines),
        late: block::pack_late(late),
        payloads: block::pack_payloads(payloads),
    }
}
