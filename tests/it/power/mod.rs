//! The power is cut at a random moment of a relay's life, and a relay starts on what the disk may contain then.
//!
//! `recorder.c` records what a relay under load does to its outbox's files. `disk.rs` computes what is left of them. The oracle
//! is that of the kill test, with one more rule: a call whose outcome had been synced is not made again.

mod disk;
mod record;
pub(crate) mod recording;

use std::collections::HashSet;
use std::path::Path;

use accoil_relay::config::{Config, Environment};
use accoil_relay::run::Relay;
use tokio::sync::OnceCell;

use self::disk::{Disk, SurvivingChanges, Syncs, mix};
use self::record::Change;
use self::recording::Recording;
use crate::crash::load::{self, SENDERS, configuration};
use crate::crash::oracle::{self, AcknowledgedBatches, Event, OutboxContent, Verdict};
use crate::crash::{everything, number_from_environment};
use crate::http::send;
use crate::relay::{Process, test_variables};
use crate::sandbox::RunningSandbox;

/// `POWER_CUTS` in the environment sets another number.
const CUTS: usize = 100;
/// Every 20th cut is checked with a relay process, the others with a relay in this process, which is faster.
const PROCESS_EVERY: usize = 20;

/// Made once for all tests of this file.
async fn recording() -> &'static Recording {
    static RECORDING: OnceCell<Recording> = OnceCell::const_new();
    RECORDING.get_or_init(Recording::make).await
}

/// The moment at which the power is cut, and which changes survive.
#[derive(Debug, Clone, Copy)]
struct PowerCut {
    /// The number of entries of the record that happened before.
    entries: usize,
    survivors: SurvivingChanges,
}

/// Returns the cuts in order: the same number in each run of the recorded process, half of them during a sync.
fn cuts(recording: &Recording, count: usize, seed: u64) -> Vec<PowerCut> {
    let mut cuts: Vec<PowerCut> = (0..count)
        .map(|number| {
            let random = |question: u64| mix(seed ^ mix(number as u64 * 2 + question));
            let run = number % recording.runs.len();
            let end = recording.entries.partition_point(|entry| entry.end <= recording.runs[run]);
            let start = run.checked_sub(1).map_or(0, |before| {
                recording.entries.partition_point(|entry| entry.end <= recording.runs[before])
            });
            let mut entries = start + 1 + usize::try_from(random(0) % (end - start) as u64).unwrap();
            if (number / recording.runs.len()).is_multiple_of(2) {
                // After the next sync has begun, and before it has ended.
                let rest = &recording.entries[entries - 1..];
                let sync = rest.iter().position(|entry| matches!(entry.change, Change::Sync));
                entries += sync.unwrap_or(0);
            }
            PowerCut { entries, survivors: SurvivingChanges::Random(random(1)) }
        })
        .collect();
    cuts.sort_by_key(|cut| cut.entries);
    cuts
}

/// The result of starting a relay on one image.
#[derive(Default)]
struct Outcome {
    verdict: Verdict,
    /// Calls that were made again although their outcome had been synced.
    made_again: Vec<String>,
}

impl Outcome {
    fn faults(&self) -> Vec<String> {
        self.verdict.faults.iter().chain(&self.made_again).cloned().collect()
    }
}

/// A relay, as a process or in this process.
enum AnyRelay {
    Process(Box<Process>),
    Here(Box<Relay>),
}

impl AnyRelay {
    /// Starts on the files in a folder. The error is the relay's own.
    async fn start(folder: &Path, sandbox: &str, as_process: bool) -> Result<Self, String> {
        if as_process {
            return Ok(Self::Process(Box::new(Process::start(folder, &configuration(), sandbox).await)));
        }
        std::fs::write(folder.join("accoil-relay.toml"), configuration()).unwrap();
        let environment = Environment::new(folder, test_variables(folder, sandbox));
        let config = Config::load(None, &environment).unwrap_or_else(|faults| panic!("{faults}"));
        let relay = Relay::start(&config).await;
        relay
            .map(|relay| Self::Here(Box::new(relay)))
            .map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    async fn post(&self, body: String) {
        let url = match self {
            Self::Process(process) => process.url("/v1/batch"),
            Self::Here(relay) => format!("http://{}/v1/batch", relay.address),
        };
        assert_eq!(send(http::Method::POST, &url, &[], body).await.status, 200);
    }

    async fn stop(self) {
        match self {
            Self::Process(process) => {
                process.terminate();
                assert!(process.ended().await.success());
            }
            Self::Here(relay) => assert!(relay.stop().await),
        }
    }
}

/// Starts a relay on an image. Each sender continues with the batch that was not answered.
async fn check(
    recording: &Recording,
    disk: &Disk<'_>,
    cut: PowerCut,
    acknowledged: AcknowledgedBatches,
    as_process: bool,
) -> Result<Outcome, String> {
    let moment = cut.entries.checked_sub(1).map_or(0, |last| recording.entries[last].end);
    let (surely, perhaps) = recording.arrived(moment);
    let [image, synced] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    disk.write_image(image.path(), cut.survivors);
    // The calls that wait according to what was synced. Only these may be made again.
    let waiting = if acknowledged.is_empty() {
        HashSet::new()
    } else {
        disk.write_image(synced.path(), SurvivingChanges::None);
        OutboxContent::read(synced.path()).map_or_else(|_| HashSet::new(), |kept| kept.waiting)
    };

    let served = RunningSandbox::start(everything()).await;
    load::refuse_dead_users(&served);
    let relay = AnyRelay::start(image.path(), &served.url, as_process).await?;
    let mut sent = acknowledged;
    for sender in 0..SENDERS {
        let batch = sent.entry(sender).or_default();
        relay.post(load::batch(sender, *batch)).await;
        *batch += 1;
    }
    let kept = OutboxContent::settled(image.path()).await;
    let calls: Vec<Event> = served.sandbox.received().iter().map(Event::of_call).collect();
    // The ids of accepted events are remembered after any crash.
    for (sender, batches) in &sent {
        relay.post(load::batch(*sender, batches - 1)).await;
    }
    OutboxContent::settled(image.path()).await;
    relay.stop().await;
    let again = served.sandbox.received().len() - calls.len();

    let before: HashSet<&Event> = recording.calls[..surely].iter().map(|(_, event)| event).collect();
    let repeated = calls.iter().filter(|event| before.contains(event) && !waiting.contains(event));
    let mut made_again: Vec<String> =
        repeated.map(|event| format!("{event} was made again after its outcome was synced")).collect();
    if again > 0 {
        made_again.push(format!("{again} calls were made for batches that were accepted before"));
    }
    let run = recording.runs.len();
    let earlier = recording.calls[..perhaps].iter().cloned();
    let calls: Vec<_> = earlier.chain(calls.into_iter().map(|event| (run, event))).collect();
    Ok(Outcome { verdict: oracle::judge(&sent, &calls, &kept), made_again })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_under_load_lose_nothing() {
    let recording = recording().await;
    let count = number_from_environment("POWER_CUTS", CUTS);
    let seed = number_from_environment("POWER_SEED", 1) as u64;
    let mut disk = Disk::new(&recording.bytes, Syncs::Kept);
    let (mut done, mut acknowledged, mut repeated) = (0, 0, 0);
    for (number, cut) in cuts(recording, count, seed).into_iter().enumerate() {
        recording.entries[done..cut.entries].iter().for_each(|entry| disk.apply(entry));
        done = cut.entries;
        let answered = recording.acknowledged(recording.entries[done - 1].end);
        let outcome = check(recording, &disk, cut, answered, number % PROCESS_EVERY == 0).await;
        let outcome = outcome.unwrap_or_else(|error| panic!("{cut:?}, POWER_SEED={seed}: {error}"));
        assert_eq!(outcome.faults(), [""; 0], "{cut:?}, POWER_SEED={seed}");
        acknowledged += outcome.verdict.acknowledged;
        repeated += outcome.verdict.repeated;
    }
    println!(
        "{count} power cuts, {} changes and syncs recorded: {acknowledged} events acknowledged, 0 lost, 0 out of order, \
         {repeated} calls repeated, all of them without a synced outcome",
        recording.entries.len()
    );
}

/// Counts the cuts at which the oracle finds a fault, and all cuts.
async fn failures(
    syncs: Syncs,
    answered: impl Fn(&Recording, usize) -> AcknowledgedBatches,
    survivors: impl Fn(PowerCut) -> SurvivingChanges,
) -> (usize, usize) {
    let recording = recording().await;
    let mut disk = Disk::new(&recording.bytes, syncs);
    let (mut done, mut failed, mut checked) = (0, 0, 0);
    for cut in cuts(recording, 12, 7) {
        recording.entries[done..cut.entries].iter().for_each(|entry| disk.apply(entry));
        done = cut.entries;
        let acknowledged = answered(recording, cut.entries);
        if acknowledged.is_empty() {
            continue;
        }
        checked += 1;
        let outcome =
            check(recording, &disk, PowerCut { survivors: survivors(cut), ..cut }, acknowledged, false).await;
        failed += usize::from(outcome.is_err() || outcome.is_ok_and(|outcome| !outcome.faults().is_empty()));
    }
    (failed, checked)
}

/// Proves that the test can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_ignores_syncs_fails_the_test() {
    let answered =
        |recording: &Recording, entries: usize| recording.acknowledged(recording.entries[entries - 1].end);
    let (failed, checked) = failures(Syncs::Ignored, answered, |cut| cut.survivors).await;
    assert!(checked > 6 && failed > checked / 2, "{failed} of {checked} cuts");
}

/// Proves that the test can fail for a relay that answers after a commit is written and before it is synced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_before_the_sync_fails_the_test() {
    let early = |recording: &Recording, entries: usize| {
        // Batches that are answered after the running sync and the next one count as answered now.
        let rest = &recording.entries[entries..];
        let mut synced = rest.iter().filter(|entry| matches!(entry.change, Change::Synced));
        recording.acknowledged(synced.nth(1).map_or(usize::MAX, |entry| entry.end))
    };
    let (failed, checked) = failures(Syncs::Kept, early, |_| SurvivingChanges::None).await;
    assert!(checked > 6 && failed > 0, "{failed} of {checked} cuts");
}
