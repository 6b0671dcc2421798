//! What must hold after any crash. Each event of a batch that was answered with 200 is delivered, or kept as a dead letter
//! or a reject. Each user's calls arrive in order. Only calls whose outcome was not stored are made again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use accoil_relay::outbox::{Archive, Filter, WaitingFilter};
use accoil_relay::sandbox::Received;

use super::load;
use crate::relay::TEST_TIMEOUT;

/// The most dead letters and rejects that are read; no run makes more.
const MOST: usize = 10_000_000;

/// By sender, the number of batches that were answered with 200.
pub(crate) type AcknowledgedBatches = BTreeMap<usize, usize>;

/// An event of the load; its text is its message id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Event {
    pub(crate) user: String,
    pub(crate) number: usize,
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.user, self.number)
    }
}

impl Event {
    pub(crate) fn of_call(call: &Received) -> Self {
        let text = |name| call.body.get(name).and_then(accoil_relay::json::Value::as_str).unwrap();
        Self { user: text("userId").to_owned(), number: text("event").parse().unwrap() }
    }

    fn of_message_id(id: &str) -> Self {
        let (user, number) = id.split_once('/').unwrap();
        Self { user: user.to_owned(), number: number.parse().unwrap() }
    }
}

/// The content of an outbox that did not arrive as calls.
#[derive(Debug, Default)]
pub(crate) struct OutboxContent {
    pub(crate) waiting: HashSet<Event>,
    dead_letters: Vec<Event>,
    rejects: Vec<Event>,
}

impl OutboxContent {
    /// Reads the outbox in a folder, also while a relay uses it.
    pub(crate) fn read(folder: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let archive = Archive::open(&folder.join("relay.db"))?;
        let mut kept = Self::default();
        let mut after = None;
        loop {
            let page = archive.waiting(&WaitingFilter::default(), after, 1000)?;
            let calls = page.calls.iter();
            kept.waiting.extend(calls.map(|call| Event::of_message_id(&call.labels.message_id)));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        let letters = archive.dead_letters(&Filter::default(), 0, MOST)?;
        kept.dead_letters = letters.iter().map(|letter| Event::of_message_id(&letter.message_id)).collect();
        let rejects = archive.rejects(&Filter::default(), 0, MOST)?;
        kept.rejects = rejects.iter().map(|reject| Event::of_message_id(&reject.message_id)).collect();
        Ok(kept)
    }

    /// Reads it after no call waits any more. Fails if the number of waiting calls stops falling.
    pub(crate) async fn settled(folder: &Path) -> Self {
        let (mut fewest, mut progress) = (usize::MAX, Instant::now());
        loop {
            let start = Instant::now();
            let kept = Self::read(folder).unwrap();
            if kept.waiting.len() < fewest {
                (fewest, progress) = (kept.waiting.len(), Instant::now());
            }
            if kept.waiting.is_empty() || progress.elapsed() > TEST_TIMEOUT {
                return kept;
            }
            tokio::time::sleep(Duration::from_millis(20) + start.elapsed()).await;
        }
    }
}

/// The result of the oracle.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Events that were acknowledged.
    pub(crate) acknowledged: usize,
    pub(crate) arrived: usize,
    pub(crate) dead_letters: usize,
    pub(crate) rejects: usize,
    /// Calls that arrived again in a later run.
    pub(crate) repeated: usize,
    /// Every violation, in words.
    pub(crate) faults: Vec<String>,
}

/// Judges the calls in the order in which they arrived, each with the number of the relay's run that made it.
pub(crate) fn judge(
    acknowledged: &AcknowledgedBatches,
    calls: &[(usize, Event)],
    kept: &OutboxContent,
) -> Verdict {
    let mut users: HashMap<&str, User> = HashMap::new();
    let mut verdict = Verdict { arrived: calls.len(), ..Verdict::default() };
    for (run, event) in calls {
        match users.entry(&event.user).or_default().take(*run, event.number) {
            Ok(is_repeated) => verdict.repeated += usize::from(is_repeated),
            Err(fault) => verdict.faults.push(format!("{event} in run {run}: {fault}")),
        }
    }
    if !kept.waiting.is_empty() {
        verdict.faults.push(format!("{} calls still wait", kept.waiting.len()));
    }
    let arrived: HashMap<&Event, usize> = calls.iter().map(|(_, event)| (event, 1)).collect();
    let (dead, rejects) = (count(&kept.dead_letters), count(&kept.rejects));
    (verdict.dead_letters, verdict.rejects) = (dead.len(), rejects.len());
    for (wanted, found, what) in [
        (load::events(acknowledged, load::delivered), &arrived, "never arrived"),
        (load::events(acknowledged, load::dead), &dead, "is no dead letter"),
        (load::events(acknowledged, load::rejected), &rejects, "is no reject"),
    ] {
        verdict.acknowledged += wanted.len();
        let missing =
            wanted.iter().filter(|event| !found.contains_key(event) && !kept.waiting.contains(event));
        verdict.faults.extend(missing.map(|event| format!("{event} was acknowledged and {what}")));
    }
    // A reject is not de-duplicated, so a batch that was sent again makes it again.
    let twice = dead.iter().filter(|(_, times)| **times > 1);
    verdict.faults.extend(twice.map(|(event, times)| format!("{event} is a dead letter {times} times")));
    verdict
}

fn count(events: &[Event]) -> HashMap<&Event, usize> {
    let mut counts = HashMap::new();
    for event in events {
        *counts.entry(event).or_default() += 1;
    }
    counts
}

/// One user's calls.
#[derive(Debug, Default)]
struct User {
    /// In the order of their first arrival.
    numbers: Vec<usize>,
    run: usize,
    /// The index in `numbers` of the call that this run must make next, once the run has made one.
    next: Option<usize>,
}

impl User {
    /// Adds a call. Returns whether it is a repeat, or why it must not arrive now. A run may begin with any earlier call, because
    /// its outcome may not have been stored. The calls after it had no outcome either, so they must be repeated too.
    fn take(&mut self, run: usize, number: usize) -> Result<bool, String> {
        if run != self.run {
            (self.run, self.next) = (run, None);
        }
        let known = self.numbers.iter().rposition(|known| *known == number);
        let place = known.unwrap_or(self.numbers.len());
        if let Some(next) = self.next
            && place != next
        {
            let expected = self.numbers.get(next);
            return Err(expected.map_or_else(
                || "it came again in the same run, or after a later one".to_owned(),
                |expected| format!("number {expected} should have come again first"),
            ));
        }
        self.next = Some(place + 1);
        match self.numbers.last() {
            _ if known.is_some() => return Ok(true),
            Some(last) if *last > number => return Err(format!("it came after number {last}")),
            _ => self.numbers.push(number),
        }
        Ok(false)
    }
}

#[test]
fn the_oracle_finds_what_must_not_be() {
    let calls = |calls: &[(usize, usize)]| -> Vec<(usize, Event)> {
        calls.iter().map(|(run, number)| (*run, Event { user: "0-0".to_owned(), number: *number })).collect()
    };
    let faults = |list: &[(usize, usize)]| {
        judge(&BTreeMap::new(), &calls(list), &OutboxContent::default()).faults.len()
    };
    assert_eq!(faults(&[(0, 0), (0, 1), (1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]), 0);
    for wrong in [
        &[(0, 1), (0, 0)][..],
        &[(0, 0), (0, 0)],
        &[(0, 0), (1, 2), (1, 1)],
        // 1 was delivered but not stored, so 2 was not stored either.
        &[(0, 0), (0, 1), (0, 2), (1, 1), (1, 3)],
        &[(0, 0), (0, 2), (1, 1)],
    ] {
        assert_eq!(faults(wrong), 1, "{wrong:?}");
    }
    let acknowledged = BTreeMap::from([(0, 2)]);
    let verdict = judge(&acknowledged, &calls(&[(0, 0)]), &OutboxContent::default());
    // Ten calls minus one, a dead letter and a reject.
    assert_eq!((verdict.acknowledged, verdict.faults.len()), (12, 11), "{verdict:?}");
    let event = dead_twice();
    let kept = OutboxContent { dead_letters: vec![event.clone(), event], ..OutboxContent::default() };
    assert_eq!(judge(&BTreeMap::new(), &[], &kept).faults, ["0-dead/0 is a dead letter 2 times"]);
}

#[cfg(test)]
fn dead_twice() -> Event {
    load::dead(0, 0).unwrap()
}
