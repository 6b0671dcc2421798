//! The history thread: receives facts, writes blocks, and keeps the file within its bounds.
//!
//! No stage waits for it. Events that cannot be written, usually because the disk is full, are counted and not recorded. The
//! thread tries again every few seconds and continues when it succeeds.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::State;
use super::archive::{self, Addition, LengthsBefore};
use super::block::{self, Head};
use super::buffer::{Buffer, FullBlock};
use super::intake::Intake;
use super::live::Viewers;
use super::reader::Step;
use super::series::{self, Counters, Sample, Series, Slot};
use super::store::{self, PackedBlock, Part, Store};
use crate::event_id::EventId;
use crate::facts::{Fact, Inbox, LeftOutCounts, RefusedRequestGroup, RefusedRequestKey};

/// The pause between two polls of the inbox while facts come. Because the thread polls, no stage has to wake it.
const PAUSE: Duration = Duration::from_millis(25);
/// The longest sleep while no facts come.
const IDLE: Duration = Duration::from_millis(250);
/// The most facts that are handled before the buffer is unlocked for readers.
const MAX_FACTS: usize = 512;
/// The interval of saving: a kill loses at most this much of the history.
const SAVE: Duration = Duration::from_secs(5);
const SAMPLE: Duration = Duration::from_secs(10);
const HOUSEKEEPING: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// An event that has no outcome yet is shown to viewers after this time.
const SHOWN_AFTER: Duration = Duration::from_millis(500);
/// After a jump of the clock, nothing is removed for its age during this time.
const JUMP_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// A difference between the wall clock and the monotonic clock that counts as a jump, in milliseconds.
const JUMP: i64 = 600_000;
/// How long the slots of a minute and of an hour are kept, in milliseconds.
const MINUTES_KEPT: i64 = 7 * 24 * 3_600_000;
const HOURS_KEPT: i64 = 400 * 24 * 3_600_000;
/// The most blocks that are removed for their age at a time.
const MAX_REMOVED: usize = 64;
/// The name under which the groups of refused requests are stored.
const REFUSED_REQUESTS: &str = "door";
/// The name under which [`LengthsBefore`] is stored.
const ARCHIVING: &str = "archiving";

/// The state that readers share with the thread.
#[derive(Debug)]
pub(super) struct Shared {
    buffer: Mutex<Buffer>,
    series: Mutex<Series>,
    /// Why nothing is recorded at the moment, if so.
    paused: Mutex<Option<String>>,
    left_out: Mutex<LeftOutCounts>,
    /// Events that came while the file could not be written.
    not_recorded: AtomicU64,
    /// Events received since the start.
    pub(super) received: AtomicU64,
    pub(super) live: Viewers,
    max_bytes: u64,
    user_key: [u8; 16],
}

impl Shared {
    pub(super) fn new(buffer: Buffer, max_bytes: u64, user_key: [u8; 16]) -> Self {
        Self {
            buffer: Mutex::new(buffer),
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

    pub(super) fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn series(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hashed(&self, user: &str) -> String {
        super::hashed(&self.user_key, user)
    }

    /// Returns why nothing is recorded at the moment, if so.
    pub(super) fn paused(&self) -> Option<String> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds the values that only this process knows.
    pub(super) fn complete(&self, state: &mut State) {
        let buffer = self.buffer();
        // The block in the buffer may have been saved to the file already.
        let saved = state.newest.as_ref().filter(|(block, ..)| *block >= buffer.block);
        let (events, payloads) = saved.map_or((0, 0), |(_, events, payloads)| (*events, *payloads));
        let kept = buffer.events.iter().filter(|buffered| buffered.payload.is_some()).count();
        state.events = state.events.saturating_sub(events) + buffer.events.len() as u64;
        state.payloads = state.payloads.saturating_sub(payloads) + kept as u64;
        if state.since.is_none() {
            state.since = buffer.events.front().map(|buffered| buffered.line.at());
        }
        drop(buffer);
        state.max_bytes = self.max_bytes;
        state.left_out = *self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        state.not_recorded = self.not_recorded.load(Ordering::Relaxed);
        state.paused = self.paused();
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
            self.announce(now);
            match polled {
                Polled::Closed => return self.finish(),
                Polled::Nothing if stop.is_cancelled() => return self.finish(),
                Polled::Nothing => {}
                Polled::Facts => std::thread::sleep(PAUSE),
            }
        }
    }

    fn take_facts(&mut self) -> Polled {
        let mut first = match self.inbox.take(IDLE) {
            Ok(fact) => Some(fact),
            Err(RecvTimeoutError::Timeout) => return Polled::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Polled::Closed,
        };
        let shared = Arc::clone(&self.shared);
        let mut rare = Vec::new();
        while let Some(fact) = first.take() {
            let now = Instant::now();
            let mut buffer = shared.buffer();
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
                            self.intake.take(received, has_payloads, now, &mut buffer);
                        }
                    }
                    Fact::Outcomes(_) if self.is_paused() => {}
                    Fact::Outcomes(outcomes) => buffer.outcomes(outcomes, now),
                    other => rare.push(other),
                }
                next = self.inbox.take(Duration::ZERO).ok();
            }
            drop(buffer);
            self.write_full_blocks(now, false);
            first = next;
        }
        for fact in &rare {
            self.take_rare(fact);
        }
        Polled::Facts
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

    /// Writes the blocks in the buffer that are full or old enough; with `all`, every block.
    fn write_full_blocks(&mut self, now: Instant, all: bool) {
        while !self.is_paused() {
            let full = self.shared.buffer().take_full(now, all);
            let Some(full) = full else { return };
            self.write(pack_full(&full));
        }
    }

    /// Writes what is in memory, so that a kill loses only a few seconds. If an earlier write failed, tries it again.
    fn save(&mut self) {
        if let Some(unwritten) = self.unwritten.take() {
            self.write(unwritten);
        }
        if self.unwritten.is_some() {
            return;
        }
        let packed = {
            let mut buffer = self.shared.buffer();
            if !buffer.take_changed() && !self.is_paused() {
                return;
            }
            let lines = buffer.events.iter().map(|buffered| &buffered.line);
            let payloads = buffer.events.iter().map(|buffered| buffered.payload.as_ref());
            (!buffer.is_empty())
                .then(|| pack_block(buffer.block, buffer.first, lines, payloads, &buffer.late))
        };
        match packed {
            Some(packed) => self.write(packed),
            None => self.resume(),
        }
    }

    fn write(&mut self, packed: PackedBlock) {
        match self.try_write(&packed) {
            Ok(()) => self.resume(),
            Err(error) => self.failed(&error, Some(packed)),
        }
    }

    fn try_write(&mut self, packed: &PackedBlock) -> rusqlite::Result<()> {
        let (size, block) = (packed.size(), packed.head.id);
        while let Some(store) = &self.store {
            if !store.is_over(size)? {
                break;
            }
            let Some(oldest) = store.oldest()?.filter(|oldest| oldest.id < block) else { break };
            self.archive_and_remove(&oldest)?;
        }
        self.store.as_mut().map_or(Ok(()), |store| store.write(packed))
    }

    /// Appends a block to the archive, if there is one, and removes it from the history.
    fn archive_and_remove(&mut self, head: &Head) -> rusqlite::Result<()> {
        let Some(store) = &mut self.store else { return Ok(()) };
        if let Some(folder) = &self.archive
            && let Err(error) = archive_block(store, folder, head)?
        {
            tracing::warn!(
                error.message = error,
                events = head.events,
                "events were removed from the history and not archived; check the folder of history.archive"
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

    fn do_housekeeping(&mut self, now: Instant) {
        if let Err(error) = self.try_housekeeping(now) {
            self.failed(&error, None);
        }
    }

    fn try_housekeeping(&mut self, now: Instant) -> rusqlite::Result<()> {
        self.watch_clock(now);
        let wall = Utc::now().timestamp_millis();
        if let Some(store) = &self.store {
            let groups = serde_json::to_vec(&self.inbox.refused_requests().groups()).unwrap_or_default();
            store.set_state(REFUSED_REQUESTS, &groups)?;
            store.remove_series(Step::Minute.milliseconds(), wall - MINUTES_KEPT)?;
            store.remove_series(Step::Hour.milliseconds(), wall - HOURS_KEPT)?;
            store.shrink()?;
        }
        if self.mistrusted_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let block = self.shared.buffer().block;
        for _ in 0..MAX_REMOVED {
            let oldest = self.store.as_ref().map_or(Ok(None), Store::oldest)?;
            let Some(oldest) = oldest.filter(|head| head.id < block && head.to < wall.saturating_sub(keep))
            else {
                break;
            };
            self.archive_and_remove(&oldest)?;
        }
        Ok(())
    }

    /// Notes a jump of the clock. Otherwise a clock that jumps ahead would remove at once what should be kept for a week.
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
    fn failed(&mut self, error: &rusqlite::Error, packed: Option<PackedBlock>) {
        if store::is_damaged(error)
            && let Some(damaged) = self.store.take()
        {
            match damaged.replace_damaged(error) {
                Ok(store) => {
                    // Without this key a search by user id would not find hashed users; everything else works.
                    let _ = store.set_state(super::USER_KEY, &self.shared.user_key);
                    self.store = Some(store);
                    return packed.into_iter().for_each(|packed| self.write(packed));
                }
                Err(error) => tracing::error!(
                    error.message = %error,
                    "the history is damaged and no new one can be created: nothing is recorded until a restart; \
                     events are delivered as before. Check the disk of history.url, then restart the relay"
                ),
            }
        }
        self.unwritten = packed.or(self.unwritten.take());
        let mut paused = self.shared.paused.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.is_none() {
            tracing::warn!(
                error.message = %error,
                "the history cannot be written: nothing is recorded until a write succeeds; events are delivered as \
                 before. Check the disk of history.url"
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
        let mut buffer = self.shared.buffer();
        let end = buffer.first + i64::try_from(buffer.events.len()).unwrap_or(0);
        if self.shared.live.is_empty() {
            buffer.changed.clear();
            self.first_unseen = end;
            return;
        }
        self.first_unseen = self.first_unseen.max(buffer.first);
        let changed = std::mem::take(&mut buffer.changed);
        let again = changed.into_iter().filter(|number| *number < self.first_unseen);
        let again: std::collections::BTreeSet<i64> = again.collect();
        let index = |number: i64| usize::try_from(number - buffer.first).ok();
        for buffered in again.into_iter().filter_map(|number| buffer.events.get(index(number)?)) {
            self.shared.live.show(&buffered.line, buffered.payload.as_ref(), &self.intake.redactor);
        }
        while let Some(buffered) = index(self.first_unseen).and_then(|index| buffer.events.get(index)) {
            if !buffered.line.is_settled() && now.duration_since(buffered.since) < SHOWN_AFTER {
                break;
            }
            self.shared.live.show(&buffered.line, buffered.payload.as_ref(), &self.intake.redactor);
            self.first_unseen += 1;
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

/// Appends a block to the archive. The inner error is about the archive or the block, the outer one about the history's file.
fn archive_block(store: &Store, folder: &Path, head: &Head) -> rusqlite::Result<Result<(), String>> {
    let lines = store::part(&store.connection, head.id, Part::Lines)?;
    let payloads = store::part(&store.connection, head.id, Part::Payloads)?;
    let mut late = Vec::new();
    for part in store::late_for(&store.connection, head)? {
        // Without them the status may be that of an earlier attempt.
        let part = part.and_then(|part| block::unpack_late(&part)).unwrap_or_default();
        late.extend(part.into_iter().filter(|late| head.may_have_event(EventId(late.event))));
    }
    let block = match lines.and_then(|lines| archive::unpack(&lines, &payloads?, late)) {
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
enum Polled {
    Nothing,
    Facts,
    /// No more facts will come.
    Closed,
}

fn pack_full(full: &FullBlock) -> PackedBlock {
    let lines = full.events.iter().map(|buffered| &buffered.line);
    let payloads = full.events.iter().map(|buffered| buffered.payload.as_ref());
    pack_block(full.id, full.first, lines, payloads, &full.late)
}

fn pack_block<'h>(
    id: i64,
    first: i64,
    lines: impl ExactSizeIterator<Item = &'h super::Line> + Clone,
    payloads: impl Iterator<Item = Option<&'h super::Payload>>,
    late: &[block::LateAttempt],
) -> PackedBlock {
    let keys: Vec<u64> = lines.clone().flat_map(block::keys).collect();
    let payloads = payloads.enumerate().filter_map(|(index, payload)| Some((index, payload?)));
    PackedBlock {
        head: Head::of(id, first, lines.clone(), late),
        bloom: super::bloom::filter(&keys),
        lines: block::pack_lines(lines),
        late: block::pack_late(late),
        payloads: block::pack_payloads(payloads),
    }
}
