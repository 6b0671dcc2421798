//! One relay's life under load, recorded: several runs of the process on one outbox, each ended by SIGTERM or SIGKILL.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accoil_relay::sandbox::Fault;

use super::record::{self, Change, Entry};
use crate::crash::everything;
use crate::crash::load::{self, Load, SENDERS, USERS, configuration};
use crate::crash::oracle::{AcknowledgedBatches, Event};
use crate::relay::{Process, command};
use crate::sandbox::RunningSandbox;

/// The number of batches in each run. In the first run they are sent after its log was copied into the database.
const FEW: usize = 100;
/// Accoil fails and is slow while fewer calls than this wait. So some calls always wait, but few enough for a quick check.
const BACKLOG: u64 = 100;
/// A safety limit: a relay that stores nothing fails the test instead of stopping it.
const LIMIT: Duration = Duration::from_secs(240);

/// Everything that is known of the recorded time. A moment is a length of the record.
#[derive(Default)]
pub(super) struct Recording {
    pub(super) bytes: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    /// The length of the record at the end of each run of the process.
    pub(super) runs: Vec<usize>,
    /// The moment of each 200: sender, batch, moment.
    pub(super) answers: Vec<(usize, usize, usize)>,
    /// The calls that Accoil accepted, in order, each with the run that made it.
    pub(super) calls: Vec<(usize, Event)>,
    samples: Vec<Sample>,
}

/// The calls that had arrived before and after a moment was read.
struct Sample {
    before: usize,
    moment: usize,
    after: usize,
}

impl Recording {
    pub(super) async fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The names that SQLite uses.
        let outbox = folder.path().canonicalize().unwrap().join("outbox");
        std::fs::create_dir(&outbox).unwrap();
        let library = compile(folder.path());
        let records: Vec<PathBuf> = (0..3).map(|run| folder.path().join(format!("record-{run}"))).collect();
        let mut served = RunningSandbox::start(everything()).await;
        load::refuse_dead_users(&served);
        let answers = Arc::new(Mutex::new(Vec::new()));
        let sampler = Sampler::start(served.sandbox.clone(), records.clone());

        let (mut load, mut marks) = (None, Vec::new());
        for (run, record) in records.iter().enumerate() {
            let serve = recorded(&library, &outbox, record);
            let mut relay = Process::start_as(serve, &outbox, &configuration(), &served.url).await;
            let load = load.get_or_insert_with(|| {
                let (answers, records) = (Arc::clone(&answers), records.clone());
                let note = move |sender, batch| {
                    answers.lock().unwrap().push((sender, batch, moment(&records)));
                };
                Load::start(relay.url("/v1/batch"), note)
            });
            load.turn_to(relay.url("/v1/batch"));
            let log = (run == 0).then(|| log_salts(&outbox));
            send_a_few(load, &relay, &served, || log.is_none_or(|log| log != log_salts(&outbox))).await;
            // The second run is killed, so the third starts with its log.
            relay.signal(if run == 1 { "KILL" } else { "TERM" });
            relay.wait().await;
            served.change_address().await;
            marks.push(served.sandbox.total());
        }
        let run_of = |count| marks.partition_point(|mark| *mark < count);
        let calls = (1..).zip(served.sandbox.received());
        let recording = Self {
            calls: calls.map(|(count, call)| (run_of(count), Event::of_call(&call))).collect(),
            samples: sampler.stop().await,
            answers: std::mem::take(&mut *answers.lock().unwrap()),
            ..Self::read(&records)
        };
        recording.is_whole(&outbox);
        recording
    }

    fn read(records: &[PathBuf]) -> Self {
        let mut recording = Self::default();
        for path in records {
            let start = recording.bytes.len();
            recording.bytes.extend(std::fs::read(path).unwrap());
            let end = recording.bytes.len();
            recording.entries.extend(record::parse(&recording.bytes, start));
            recording.entries.push(Entry { name: ".".to_owned(), change: Change::End, end });
            recording.runs.push(end);
        }
        recording
    }

    /// Checks that the record is complete: the recorded changes produce the files that the relay left.
    fn is_whole(&self, outbox: &Path) {
        let mut disk = super::disk::Disk::new(&self.bytes, super::disk::Syncs::Kept);
        self.entries.iter().for_each(|entry| disk.apply(entry));
        let files = disk.files();
        for (name, content) in &files {
            assert!(*content == std::fs::read(outbox.join(name)).unwrap(), "{name} differs from its record");
        }
        assert!(files.contains_key("relay.db") && files.contains_key("relay.db.lock"));
        let is_log_begun = |entry: &&Entry| {
            entry.name == "relay.db-wal"
                && entry.end < self.runs[0]
                && matches!(entry.change, Change::Write { offset: 0, .. })
        };
        let begun = self.entries.iter().filter(is_log_begun).count();
        assert!(begun > 1, "the log was not copied into the database in the first run");
    }

    /// Returns the batches that were answered by this moment.
    pub(super) fn acknowledged(&self, moment: usize) -> AcknowledgedBatches {
        let mut acknowledged = AcknowledgedBatches::new();
        for (sender, batch, _) in self.answers.iter().filter(|(_, _, answered)| *answered <= moment) {
            acknowledged.insert(*sender, batch + 1);
        }
        acknowledged
    }

    /// Returns how many calls had certainly arrived at this moment, and how many may have.
    pub(super) fn arrived(&self, moment: usize) -> (usize, usize) {
        let later = self.samples.partition_point(|sample| sample.moment <= moment);
        let surely = later.checked_sub(1).map_or(0, |last| self.samples[last].before);
        // The first sample at or after the moment.
        let first = self.samples.partition_point(|sample| sample.moment < moment);
        (surely, self.samples.get(first).map_or(self.calls.len(), |sample| sample.after))
    }
}

/// Lets the load run until the condition holds and a few more batches were sent. Some calls always wait.
async fn send_a_few(load: &Load, relay: &Process, served: &RunningSandbox, may_end: impl Fn() -> bool) {
    let (start, mut sent) = (Instant::now(), load.batches());
    while load.batches() < sent + FEW {
        if !may_end() {
            sent = load.batches();
        }
        assert!(start.elapsed() < LIMIT, "too few events are stored: {}", relay.log());
        let faults = served.sandbox.faults();
        if ((load.batches() * USERS) as u64) < served.sandbox.total() + BACKLOG
            && faults.list().len() == SENDERS
        {
            faults.add(Fault { status: Some(503), times: 2, ..Fault::default() }).unwrap();
            faults.add(Fault { close: true, ..Fault::default() }).unwrap();
            faults.add(Fault { delay_ms: Some(4), times: 40, ..Fault::default() }).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the salts in the header of the log, which change when the log starts again.
fn log_salts(outbox: &Path) -> Option<[u8; 8]> {
    let log = std::fs::File::open(outbox.join("relay.db-wal")).ok()?;
    let mut salts = [0; 8];
    log.read_exact_at(&mut salts, 16).ok()?;
    Some(salts)
}

/// Returns the length of the record so far.
fn moment(records: &[PathBuf]) -> usize {
    let length = |path: &PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
    usize::try_from(records.iter().map(length).sum::<u64>()).unwrap()
}

/// Records continuously how many calls have arrived.
struct Sampler {
    is_over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<Sample>>,
}

impl Sampler {
    fn start(sandbox: accoil_relay::sandbox::Sandbox, records: Vec<PathBuf>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_over);
        let total = move || usize::try_from(sandbox.total()).unwrap();
        let thread = std::thread::spawn(move || {
            let mut samples = Vec::new();
            loop {
                let is_last = stop.load(Ordering::Acquire);
                samples.push(Sample { before: total(), moment: moment(&records), after: total() });
                if is_last {
                    return samples;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { is_over, thread }
    }

    async fn stop(self) -> Vec<Sample> {
        self.is_over.store(true, Ordering::Release);
        tokio::task::spawn_blocking(move || self.thread.join().unwrap()).await.unwrap()
    }
}

/// Returns a command for `serve` under the recorder, for an outbox's folder and a record.
pub(crate) fn recorded(library: &Path, outbox: &Path, record: &Path) -> Command {
    let mut serve = command();
    serve.arg("serve").env("LD_PRELOAD", library);
    serve.env("RECORDER_FOLDER", outbox).env("RECORDER_LOG", record);
    serve
}

/// Builds the recorder in a folder.
pub(crate) fn compile(folder: &Path) -> PathBuf {
    let library = folder.join("recorder.so");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/power/recorder.c");
    let output = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .args([source, "-ldl", "-lpthread"])
        .output()
        .expect("a C compiler, which the build needs too");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}
