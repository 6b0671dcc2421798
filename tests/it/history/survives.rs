//! A kill, a damaged file, a full disk: the history may lose something, senders and deliveries notice nothing.

use accoil_relay::sandbox::Options;

use super::*;
use crate::outbox::sqlite::room::Disk;
use crate::relay::Process;
use crate::sandbox::RunningSandbox;

/// The test waits only for the history itself: the relay that writes it keeps running.
#[tokio::test]
async fn a_kill_costs_only_what_was_not_written_yet() {
    let (folder, served) = (tempfile::tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let process = Process::start(folder.path(), USUAL, &served.url).await;
    let first = id_of(&process.post("/v1/track", &[], track("u1", "m1")).await);
    let reader = of_file(folder.path());
    recorded(&reader, first, Status::Delivered).await;
    process.kill();
    let event = recorded(&reader, first, Status::Delivered).await;
    assert!(event.records[0].payload.is_some());
    let process = Process::start(folder.path(), USUAL, &served.url).await;
    let second = id_of(&process.post("/v1/track", &[], track("u1", "m2")).await);
    recorded(&reader, second, Status::Delivered).await;
    recorded(&reader, first, Status::Delivered).await;
    process.kill();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_moved_aside() {
    let relay = TestRelay::usual().await;
    let path = relay.config.history_path().unwrap();
    let config = relay.config.clone();
    let first = post(&relay, &track("u1", "m1")).await;
    recorded(&relay.relay.history, first, Status::Delivered).await;
    assert!(relay.relay.stop().await);
    std::fs::write(&path, "this is no database".repeat(1000)).unwrap();
    let again = accoil_relay::run::Relay::start(&config).await.unwrap();
    assert!(again.history.event(first, Show::Whole).unwrap().is_none());
    let folder = path.parent().unwrap();
    let aside = std::fs::read_dir(folder)
        .unwrap()
        .any(|entry| entry.unwrap().file_name().to_string_lossy().contains(".history.damaged-"));
    assert!(aside);
    assert!(again.stop().await);
}

/// Another program fills the history's disk: events are delivered, and recorded again when there is room.
#[tokio::test]
async fn a_full_disk_under_the_history_stops_only_the_history() {
    let Some(disk) = Disk::new(12 << 20) else { return };
    let url = format!("[history]\nurl = \"sqlite:{}\"\n", disk.path().join("past.db").display());
    let relay = TestRelay::start(&with(&url)).await;
    let reader = relay.relay.history.clone();
    let before = post(&relay, &track("u1", "before")).await;
    recorded(&reader, before, Status::Delivered).await;
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![1; 12 << 20]).unwrap_err();
    let mut sent = 1;
    until("nothing says that the disk is full", || {
        reader.state().ok().filter(|state| state.paused.is_some())
    })
    .await;
    for number in 0..20 {
        let answer = relay.post("/v1/track", &[], track("u1", &format!("during-{number}"))).await;
        assert_eq!(answer.status, 200);
        sent += 1;
    }
    relay.calls(sent).await;
    until("events that were not recorded are counted", || {
        let state = reader.state().ok()?;
        (state.not_recorded > 0).then_some(())
    })
    .await;
    std::fs::remove_file(&filler).unwrap();
    until("it is recorded again", || reader.state().ok().filter(|state| state.paused.is_none())).await;
    let after = post(&relay, &track("u1", "after")).await;
    recorded(&reader, after, Status::Delivered).await;
    recorded(&reader, before, Status::Delivered).await;
    relay.stop().await;
}

#[tokio::test]
async fn without_a_history_everything_else_works() {
    let relay = TestRelay::start(&with("[history]\nurl = \"off\"\n")).await;
    post(&relay, &track("u1", "m1")).await;
    relay.calls(1).await;
    assert!(!relay.relay.history.is_on());
    let mut beside = relay.config.outbox.url.path.clone().into_os_string();
    beside.push(".history");
    assert!(!Path::new(&beside).exists());
    relay.stop().await;
}

/// Two relays that would record into one file: the second logs an error and does not start.
#[tokio::test]
async fn two_relays_do_not_share_a_history() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("[history]\nurl = \"sqlite:{}\"\n", folder.path().join("shared.db").display());
    let relay = TestRelay::start(&with(&url)).await;
    let mut config = relay.config.clone();
    config.outbox.url.path = folder.path().join("other.db");
    let Err(error) = accoil_relay::run::Relay::start(&config).await else { panic!("it started") };
    assert!(error.to_string().contains("another relay records into it"), "{error}");
    relay.stop().await;
}
