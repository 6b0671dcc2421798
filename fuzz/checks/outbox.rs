//! A relay's start on changed files: it opens them, or refuses them and recovers every readable row.
//!
//! The input changes a sound database, its log and its lock file; see [`Files::change`]. An input that begins with
//! `FF` contains the database and the log themselves, after the length of the database in three bytes.

use std::collections::HashSet;
use std::path::Path;
use std::sync::OnceLock;

use accoil_relay::outbox::{
    Attempt, Filter, OpenError, Options, Outbox, PageFrom, Settlement, Stored, recover,
};
use accoil_relay::reasons::Reason;
use accoil_relay::run;
use chrono::DateTime;

use super::relay::{DESTINATION, Listener, configuration, folder};

/// In the order of their numbers in an input.
const NAMES: [&str; 3] = ["relay.db", "relay.db-wal", "relay.db.lock"];
const RAW: u8 = 0xFF;

/// The files of one outbox; an empty one does not exist.
#[derive(Debug, Clone, Default)]
struct Files([Vec<u8>; 3]);

/// What a relay stored, and its files.
struct Sample {
    /// As a kill leaves them, and as an orderly stop leaves them.
    files: [Files; 2],
    /// Of all calls.
    bodies: HashSet<Vec<u8>>,
}

/// Damaged files are refused or read. Only calls that were written are ever sent, and no call is lost without a report. Files
/// that are refused as damaged can be recovered, and the outbox then opens.
pub(crate) fn outbox(bytes: &[u8]) {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    let sample = SAMPLE.get_or_init(Sample::make);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let Some((first, rest)) = bytes.split_first() else { return };
    let files = match *first {
        RAW => Files::raw(rest),
        first => sample.files[usize::from(first % 2)].clone().changed(rest),
    };
    // An empty file is a new outbox.
    let is_database_alone = *first != RAW && first % 2 == 1 && !files.0[0].is_empty();
    let folder = folder();
    files.write(folder.path());
    let path = folder.path().join(NAMES[0]);
    runtime.block_on(async {
        match open(folder.path()) {
            Ok(outbox) => {
                let found = check(&outbox, sample).await;
                // A log that is cut off and a lock file that is changed, too, cannot be told from an older outbox.
                if is_database_alone {
                    assert!(
                        found.is_none_or(|found| found >= sample.bodies.len() - 1),
                        "calls are lost: {found:?}"
                    );
                }
            }
            Err(OpenError::Damaged { what, .. }) => {
                let recovered = recover(&path, DateTime::UNIX_EPOCH).expect("it can be recovered");
                assert!(recovered.is_some(), "refused as damaged ({what}), and then not recovered");
                check(&open(folder.path()).expect("what was recovered is sound"), sample).await;
            }
            Err(_) => {}
        }
    });
}

fn open(folder: &Path) -> Result<Outbox, OpenError> {
    static OPTIONS: OnceLock<Options> = OnceLock::new();
    let options = OPTIONS.get_or_init(|| run::outbox_options(&configuration(folder)));
    Outbox::open(&Options { path: folder.join(NAMES[0]), ..options.clone() })
}

/// Reads everything that a relay would send, or an operator could send again. Returns how many of the calls are there, or `None`
/// if something was reported as damaged or could not be read.
async fn check(outbox: &Outbox, sample: &Sample) -> Option<usize> {
    let lane = outbox.lanes().borrow().owned[0].clone();
    let (mut found, mut cursor, mut is_sound) = (HashSet::new(), lane.start(), true);
    let chunk = loop {
        let chunk = lane.next_chunk(cursor).await;
        let Ok(Some(chunk)) = chunk else { break chunk };
        assert!(chunk.position() > cursor, "positions only grow");
        cursor = chunk.position();
        let jobs = chunk.jobs(DESTINATION);
        is_sound &= jobs.is_ok();
        let (Ok(jobs) | Err(jobs)) = jobs;
        found.extend(jobs.iter().map(|job| job.body.to_vec()));
    };
    is_sound &= chunk.is_ok();
    if let Ok(users) = lane.parked_users(DESTINATION).await {
        let users = users.into_iter().map(|(user, _)| user).collect();
        let parked = lane.parked(DESTINATION, users).await.unwrap_or_default();
        found.extend(parked.into_iter().filter(|call| !call.is_damaged).map(|call| call.job.body.to_vec()));
    }
    let letters =
        outbox.dead_letters(&Filter::default(), PageFrom::Before(i64::MAX), 100).await.unwrap_or_default();
    found.extend(letters.into_iter().filter(|letter| !letter.is_damaged).map(|letter| letter.body));
    let _ = outbox.rejects(&Filter::default(), PageFrom::Before(i64::MAX), 100).await;
    let _ = outbox.keep_house().await;
    outbox.close().await;
    for body in &found {
        assert!(sample.bodies.contains(body), "a call that nobody made: {}", String::from_utf8_lossy(body));
    }
    is_sound &= Stored::ALL.iter().all(|stored| outbox.damaged(*stored) == 0) && !*outbox.failed().borrow();
    is_sound.then_some(found.len())
}

impl Files {
    fn read(folder: &Path) -> Self {
        Self(NAMES.map(|name| std::fs::read(folder.join(name)).unwrap_or_default()))
    }

    fn write(&self, folder: &Path) {
        for (name, content) in NAMES.iter().zip(&self.0) {
            if !content.is_empty() {
                std::fs::write(folder.join(name), content).expect("the folder takes a file");
            }
        }
    }

    fn raw(bytes: &[u8]) -> Self {
        let length = bytes.iter().take(3).fold(0, |length, byte| length << 8 | usize::from(*byte));
        let (database, log) = bytes.get(3..).unwrap_or_default().split_at_checked(length).unwrap_or_default();
        Self([database.to_vec(), log.to_vec(), Vec::new()])
    }

    fn changed(mut self, changes: &[u8]) -> Self {
        changes.chunks_exact(6).for_each(|change| self.change(change));
        self
    }

    /// Six bytes: what is done and to which file, where (three bytes), to how many bytes, and with which value.
    fn change(&mut self, change: &[u8]) {
        let [what, place @ .., count, value] = change else { return };
        let content = &mut self.0[usize::from(what / 4) % 3];
        let place = place.iter().fold(0, |place, byte| place << 8 | usize::from(*byte));
        let Some(place) = place.checked_rem(content.len()) else { return };
        let end = content.len().min(place + 1 + usize::from(*count));
        match what % 4 {
            0 => content[place..end].fill(*value),
            1 => content[place..end].iter_mut().for_each(|byte| *byte ^= value),
            2 => content.truncate(place),
            // Copies from another place, sector by sector, as a disk misplaces sectors.
            _ => {
                let from = usize::from(*value) * 512 % content.len();
                let end = content.len().min(from + 512 * (1 + usize::from(*count)));
                let place = place / 512 * 512;
                let count = (end - from).min(content.len() - place);
                content.copy_within(from..from + count, place);
            }
        }
    }
}

impl Sample {
    /// Six chunks of two calls. Of the first three chunks one call is parked, a dead letter, and delivered.
    fn make() -> Self {
        let listener = Listener::open();
        for number in 0..6 {
            let track = |name| {
                format!(
                    r#"{{"type":"track","userId":"u{number}","event":"{name}","properties":{{"n":{number}}}}}"#
                )
            };
            let body = format!(r#"{{"batch":[{},{}]}}"#, track("Signed Up"), track("Report Created"));
            let head = "POST /v1/batch HTTP/1.1\r\nhost: x\r\nx-api-key: w\r\ncontent-length: *\r\n\r\n";
            listener.exchange(&[head, &body].concat().into_bytes());
        }
        listener.runtime.block_on(async {
            let lane = listener.outbox.lanes().borrow().owned[0].clone();
            let (mut jobs, mut cursor) = (Vec::new(), lane.start());
            while let Ok(Some(chunk)) = lane.next_chunk(cursor).await {
                cursor = chunk.position();
                jobs.extend(chunk.jobs(DESTINATION).expect("the chunk is sound"));
            }
            let bodies = jobs.iter().map(|job| job.body.to_vec()).collect();
            assert_eq!(jobs.len(), 12, "two calls for each batch");
            let mut take = |index: usize| Box::new(jobs.remove(index));
            let (parked, dead, delivered) = (take(0), take(1), take(2));
            let at = DateTime::from_timestamp(1_700_000_000, 0).expect("a time");
            let attempts = vec![Attempt {
                at,
                status: Some(503),
                reason: "busy".to_owned(),
                took_ms: Some(1),
                running: None,
            }];
            lane.settle(vec![
                Settlement::Parked { job: parked, attempts: attempts.clone(), next_attempt_at: Some(at) },
                Settlement::Dead { job: dead, attempts, reason: Reason::DeadRefused },
                Settlement::Delivered { place: delivered.place, fingerprints: Vec::new() },
            ]);
            listener.outbox.flush().await.expect("the outbox is written");
            let killed = Files::read(listener.folder.path());
            listener.outbox.close().await;
            Self { files: [killed, Files::read(listener.folder.path())], bodies }
        })
    }
}
