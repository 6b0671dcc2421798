//! A recovery that is killed before each of its changes to the files in turn, and is then run to its end.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use accoil_relay::outbox::{OpenError, Outbox};

use super::damage::{copy_outbox, killed, recovered};
use crate::outbox::{bodies, jobs, open, options};
use crate::power::recording::{compile, recorded};
use crate::relay::{TEST_TIMEOUT, USUAL, test_variables};

/// Runs `serve --recover-outbox` and kills it before the change with this number. Returns false if the recovery ended before.
fn is_killed(library: &Path, folder: &Path, change: usize) -> bool {
    let mut serve = recorded(library, &folder.canonicalize().unwrap(), &folder.join("record"));
    serve.arg("--recover-outbox").current_dir(folder).stderr(Stdio::null()).stdout(Stdio::null());
    // No call is delivered.
    serve.envs(test_variables(folder, "http://127.0.0.1:9")).env("RECORDER_KILL", change.to_string());
    let (mut process, began) = (serve.spawn().unwrap(), Instant::now());
    let is_aside = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("relay.db.corrupt-");
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            assert_eq!(status.signal(), Some(9), "{status}");
            return true;
        }
        let is_begun = fs::read_dir(folder).unwrap().any(|entry| is_aside(entry.unwrap()));
        if is_begun && !folder.join("relay.db.recovering").exists() {
            process.kill().unwrap();
            process.wait().unwrap();
            return false;
        }
        assert!(began.elapsed() < TEST_TIMEOUT, "change {change}: the recovery neither ended nor was killed");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The first byte of each call that is left.
async fn left(folder: &Path) -> Vec<String> {
    let outbox = open(folder);
    let left = jobs(&outbox, "a").await.0;
    outbox.close().await;
    bodies(&left).into_iter().map(|body| body[..1].to_owned()).collect()
}

#[tokio::test]
async fn a_recovery_that_was_killed_is_run_again_and_loses_nothing() {
    let programs = tempfile::tempdir().unwrap();
    let library = compile(programs.path());
    let flipped: fn(&Path) = |folder| {
        let log = folder.join("relay.db-wal");
        let mut bytes = fs::read(&log).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(log, bytes).unwrap();
    };
    let emptied: fn(&Path) = |folder| fs::write(folder.join("relay.db"), "").unwrap();
    let cut: fn(&Path) = |folder| {
        let log = fs::OpenOptions::new().write(true).open(folder.join("relay.db-wal")).unwrap();
        log.set_len(log.metadata().unwrap().len() / 2).unwrap();
    };
    for damage in [flipped, emptied, cut] {
        let whole = killed().await;
        damage(whole.path());
        fs::write(whole.path().join("accoil-relay.toml"), USUAL).unwrap();
        let copy = || {
            let folder = tempfile::tempdir().unwrap();
            copy_outbox(whole.path(), folder.path());
            fs::copy(whole.path().join("accoil-relay.toml"), folder.path().join("accoil-relay.toml"))
                .unwrap();
            folder
        };
        let expected = copy();
        let whole = recovered(expected.path());
        let expected = left(expected.path()).await;
        assert!(!expected.is_empty());
        let (mut change, mut kills) = (1, 0);
        loop {
            let folder = copy();
            if !is_killed(&library, folder.path(), change) {
                break;
            }
            let error = Outbox::open(&options(folder.path())).unwrap_err();
            assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
            // Killed once more, earlier or later than the first time.
            kills += 1 + usize::from(is_killed(&library, folder.path(), 1 + change * kills % (change * 2)));
            if let Err(OpenError::Damaged { .. }) = Outbox::open(&options(folder.path())) {
                let again = recovered(folder.path());
                assert_eq!((&again.rows, again.missing), (&whole.rows, whole.missing), "change {change}");
            }
            assert_eq!(left(folder.path()).await, expected, "change {change}");
            change += 1 + change / 8;
        }
        assert!(kills > 20, "{kills}");
    }
}
