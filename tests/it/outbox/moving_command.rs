//! `outbox move` into a cluster and back, killed three times each way. `EVENTS` in the environment sets another number of events.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use accoil_relay::facts::Facts;
use accoil_relay::outbox::nats::Options as ClusterOptions;
use accoil_relay::outbox::{OpenError, Outbox, nats};
use tokio_util::sync::CancellationToken;

use super::contract::{LIMIT, cluster_options};
use super::{bodies, event, jobs, open, options, request, single, submission};
use crate::cluster::servers;
use crate::crash::number_from_environment;
use crate::relay::command;

const EVENTS: usize = 20_000;
const USERS: usize = 100;
const KILLS: u64 = 3;
const POST: usize = 500;

async fn fill(folder: &Path, events: usize) {
    let outbox = open(folder);
    for first in (0..events).step_by(POST) {
        let one = |number: usize| {
            event(None, vec![request("a", &(number % USERS).to_string(), number.to_string())])
        };
        outbox.accept(submission((first..first + POST).map(one).collect(), Vec::new())).await.unwrap();
    }
    outbox.close().await;
}

/// Each event is there once, and each user's are in order.
async fn verify(outbox: &Outbox, events: usize) {
    let mut next = HashMap::new();
    let waiting = jobs(outbox, "a").await.0;
    assert_eq!(waiting.len(), events);
    for job in &waiting {
        let number: usize = std::str::from_utf8(&job.body).unwrap().parse().unwrap();
        let expected = next.entry(number % USERS).or_insert(number % USERS);
        assert_eq!(number, *expected);
        *expected += USERS;
    }
    assert_eq!(outbox.usage().waiting.rows, events as u64);
}

struct Moving<'a> {
    folder: &'a Path,
    stream: &'a str,
}

impl Moving<'_> {
    fn command(&self, from: &str, to: &str) -> Command {
        let mut run = command();
        run.current_dir(self.folder)
            .args(["outbox", "move", "--from", from, "--to", to])
            .envs([
                ("ACCOIL_API_KEY", "k"),
                ("ACCOIL_RELAY_WRITE_KEY", "w"),
                ("ACCOIL_RELAY_OUTBOX__STREAM", self.stream),
                ("TMPDIR", self.folder.to_str().unwrap()),
            ])
            .stderr(Stdio::piped())
            .stdout(Stdio::null());
        run
    }

    /// Kills it three times, the later the more events there are, then lets it end.
    async fn kill_and_finish(&self, from: &str, to: &str, events: usize) {
        let began = Instant::now();
        for kill in 1..=KILLS {
            let mut child = self.command(from, to).spawn().unwrap();
            let before = Duration::from_millis(kill * (400 + events as u64 / 250));
            tokio::time::sleep(before).await;
            child.kill().unwrap();
            let output =
                tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
            println!("killed after {before:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
            if output.status.success() {
                return;
            }
        }
        let last = Instant::now();
        let output = crate::child::output(self.command(from, to)).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        println!(
            "{events} events, {KILLS} kills: {:?}, the last run {:?}: {said}",
            began.elapsed(),
            last.elapsed()
        );
    }
}

async fn open_cluster(options: &ClusterOptions) -> Result<Outbox, OpenError> {
    Outbox::open_cluster(options, Facts::off(), &CancellationToken::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_moves_into_a_cluster_and_back_with_three_kills_each() {
    let events = number_from_environment("EVENTS", EVENTS);
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), events).await;
    let (server, stream) = (servers::shared().url(), format!("test-{}", uuid::Uuid::new_v4().simple()));
    let moving = Moving { folder: folder.path(), stream: &stream };
    moving.kill_and_finish("sqlite:relay.db", &server, events).await;
    assert!(!folder.path().join("relay.db").exists(), "what was moved has another name");
    let usual = options(Path::new(""));
    let options = ClusterOptions { lanes: 16, ..cluster_options(server.clone(), &stream, &usual) };
    let cluster = open_cluster(&options).await.unwrap();
    assert!(cluster.is_alone(LIMIT).await);
    verify(&cluster, events).await;
    cluster.close().await;

    moving.kill_and_finish(&server, "sqlite:relay.db", events).await;
    let back = open(folder.path());
    verify(&back, events).await;
    back.close().await;
    let refused = open_cluster(&options).await.map(drop);
    assert!(matches!(refused, Err(OpenError::Nats(nats::OpenError::Moved { .. }))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_works_on_an_outbox_stops_when_it_is_moved() {
    let stream = format!("test-{}", uuid::Uuid::new_v4().simple());
    let usual = options(Path::new(""));
    let options = cluster_options(servers::shared().url(), &stream, &usual);
    let relay = open_cluster(&options).await.unwrap();
    relay.accept(single(None, "u", "1")).await.unwrap();
    let mover = ClusterOptions { moves_to: Some("sqlite:new.db".to_owned()), ..options };
    let mover = open_cluster(&mover).await.unwrap();
    assert!(!mover.is_alone(Duration::from_millis(300)).await, "a relay works on it");
    mover.mark_moved("sqlite:new.db").await.unwrap();
    let mut failed = relay.failed();
    tokio::time::timeout(LIMIT, failed.wait_for(|failed| *failed)).await.expect("it stops").unwrap();
    assert!(relay.accept(single(None, "u", "2")).await.is_err());
    assert!(mover.is_alone(LIMIT).await);
    assert_eq!(bodies(&jobs(&mover, "a").await.0), ["1"]);
}
