//! Relays over one cluster under load, and the oracle. A sender posts a user's next event only after the 200 for the one before, to
//! whatever relay answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accoil_relay::sandbox::Options;
use http::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::proxy::{Line, Proxy};
use super::servers::Cluster;
use crate::http::{Answer, try_send};
use crate::relay::{Process, USUAL};
use crate::sandbox::Served;

pub(crate) const USERS: usize = 12;
pub(crate) const CONCURRENCY: usize = 4;
/// How long a relay's calls may wait for another relay, with time for a slow machine.
const SETTLED: Duration = Duration::from_secs(60);

fn configuration() -> String {
    format!(
        "{USUAL}concurrency = {CONCURRENCY}\nrequest_timeout = \"1s\"\n\
         [outbox]\nlanes = 8\nlease = \"3s\"\n\
         [deliver]\nretry_initial = \"20ms\"\nretry_max = \"100ms\"\n\
         [history]\nurl = \"off\"\n"
    )
}

pub(crate) struct Trial {
    pub(crate) cluster: Cluster,
    pub(crate) served: Served,
    pub(crate) relays: Vec<Process>,
    /// Between the first relay and each server; empty if it connects directly.
    pub(crate) proxies: Vec<Proxy>,
    folders: Vec<TempDir>,
    urls: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    senders: JoinSet<()>,
    acknowledged: Arc<Mutex<HashMap<usize, usize>>>,
}

impl Trial {
    pub(crate) async fn start(relays: usize) -> Self {
        Self::start_on(Cluster::start(), Vec::new(), relays).await
    }

    /// The first relay reaches the servers through proxies.
    pub(crate) async fn start_behind_proxies(relays: usize) -> Self {
        let cluster = Cluster::start();
        let mut proxies = Vec::new();
        for server in &cluster.servers {
            proxies.push(Proxy::start(server.port).await);
        }
        Self::start_on(cluster, proxies, relays).await
    }

    async fn start_on(cluster: Cluster, proxies: Vec<Proxy>, relays: usize) -> Self {
        let served = Served::start(Options { keep: usize::MAX, ..Options::default() }).await;
        let mut trial = Self {
            cluster,
            served,
            relays: Vec::new(),
            proxies,
            folders: Vec::new(),
            urls: Arc::default(),
            stop: CancellationToken::new(),
            senders: JoinSet::new(),
            acknowledged: Arc::default(),
        };
        for number in 0..relays {
            trial.folders.push(tempfile::tempdir().unwrap());
            let relay = trial.run(number).await;
            trial.relays.push(relay);
        }
        trial.show_urls();
        trial
    }

    async fn run(&self, number: usize) -> Process {
        let url = match number {
            0 if !self.proxies.is_empty() => {
                self.proxies.iter().map(Proxy::url).collect::<Vec<_>>().join(",")
            }
            _ => self.cluster.url(),
        };
        let mut serve = std::process::Command::new("sh");
        let script =
            format!("ACCOIL_RELAY_OUTBOX__URL='{url}' exec '{}' serve", env!("CARGO_BIN_EXE_accoil-relay"));
        serve.env_clear().args(["-c", &script]);
        Process::start_as(serve, self.folders[number].path(), &configuration(), &self.served.url).await
    }

    fn show_urls(&self) {
        *self.urls.lock().unwrap() = self.relays.iter().map(|relay| relay.url("/v1/track")).collect();
    }

    /// Kills a relay, and starts it again.
    pub(crate) async fn kill_and_restart(&mut self, number: usize) {
        self.relays[number].signal("KILL");
        self.relays[number].wait().await;
        self.relays[number] = self.run(number).await;
        self.show_urls();
    }

    /// Begins to send events of all users.
    pub(crate) fn begin(&mut self) {
        for user in 0..USERS {
            let (urls, stop) = (Arc::clone(&self.urls), self.stop.clone());
            let acknowledged = Arc::clone(&self.acknowledged);
            self.senders.spawn(async move {
                let mut number = 0;
                while !stop.is_cancelled() {
                    if post(&urls, user, number, &stop).await {
                        number += 1;
                        acknowledged.lock().unwrap().insert(user, number);
                    }
                }
            });
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().values().sum()
    }

    /// Waits until more events are accepted; returns how long that took.
    pub(crate) async fn accepts_again(&self, within: Duration) -> Duration {
        let (began, before) = (Instant::now(), self.acknowledged());
        while self.acknowledged() < before + USERS {
            assert!(began.elapsed() < within, "nothing is accepted for {within:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    }

    /// Changes the first relay's connections to all servers.
    pub(crate) fn line(&self, line: Line) {
        self.proxies.iter().for_each(|proxy| proxy.set(line));
    }

    /// Posts an event to a relay that cannot store it: it says so within a second, and a slow machine has another.
    pub(crate) async fn relay_refuses(&self, number: usize) {
        let began = Instant::now();
        let answer = self.probe(number).await.unwrap();
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }

    /// Posts events to a relay until it stores one.
    pub(crate) async fn relay_accepts(&self, number: usize) {
        let began = Instant::now();
        while self.probe(number).await.is_none_or(|answer| answer.status != 200) {
            assert!(
                began.elapsed() < SETTLED,
                "relay {number} does not recover\n{}",
                self.relays[number].log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// An event that no user of the load has, and that is not accepted: it has no user, and is only kept as a reject.
    async fn probe(&self, number: usize) -> Option<Answer> {
        let body = r#"{"type":"track","event":"0","writeKey":"web-key"}"#;
        let url = self.relays[number].url("/v1/track");
        let answer = try_send(Method::POST, &url, &[], body.to_owned());
        tokio::time::timeout(Duration::from_secs(3), answer).await.ok()?.ok()
    }

    /// Ends the load, waits until everything that was acknowledged has arrived, and judges. Returns how many calls came again.
    pub(crate) async fn verdict(mut self, what: &str, faults: usize) -> usize {
        self.stop.cancel();
        while self.senders.join_next().await.is_some() {}
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let began = Instant::now();
        let missing = loop {
            let missing = self.missing(&acknowledged);
            if missing.is_empty() || began.elapsed() > SETTLED {
                break missing;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let logs = || self.relays.iter().map(Process::log).collect::<Vec<_>>().join("\n--\n");
        assert!(
            missing.is_empty(),
            "{} acknowledged events never arrived: {missing:?}\n{}",
            missing.len(),
            logs()
        );
        let (repeated, disordered) = self.order();
        let total: usize = acknowledged.values().sum();
        println!("{what}: {total} events acknowledged, {repeated} calls repeated");
        assert_eq!(disordered, [""; 0], "{}", logs());
        let most = faults * (CONCURRENCY + USERS);
        assert!(
            repeated <= most,
            "{repeated} calls were repeated, more than the {most} in flight\n{}",
            logs()
        );
        assert!(total > USERS);
        repeated
    }

    fn arrivals(&self) -> Vec<(usize, usize)> {
        let text = |call: &accoil_relay::sandbox::Received, name| {
            call.body.get(name).and_then(accoil_relay::json::Value::as_str).unwrap().to_owned()
        };
        let received = self.served.sandbox.received();
        received
            .iter()
            .map(|call| (text(call, "userId").parse().unwrap(), text(call, "event").parse().unwrap()))
            .collect()
    }

    fn missing(&self, acknowledged: &HashMap<usize, usize>) -> Vec<(usize, usize)> {
        let arrived: std::collections::HashSet<_> = self.arrivals().into_iter().collect();
        let wanted = acknowledged.iter().flat_map(|(user, count)| (0..*count).map(|number| (*user, number)));
        wanted.filter(|event| !arrived.contains(event)).take(20).collect()
    }

    /// How many calls came again, and the first arrivals that came before an earlier event of their user.
    fn order(&self) -> (usize, Vec<String>) {
        let (mut next, mut repeated, mut disordered) = (HashMap::<usize, usize>::new(), 0, Vec::new());
        for (user, number) in self.arrivals() {
            let expected = next.entry(user).or_default();
            match number.cmp(expected) {
                std::cmp::Ordering::Less => repeated += 1,
                std::cmp::Ordering::Equal => *expected += 1,
                std::cmp::Ordering::Greater => {
                    disordered.push(format!("user {user}: {number} came before {expected}"));
                    *expected = number + 1;
                }
            }
        }
        (repeated, disordered)
    }
}

/// Posts an event to one relay after the other until it is answered 200; false if the load ends before.
async fn post(urls: &Mutex<Vec<String>>, user: usize, number: usize, stop: &CancellationToken) -> bool {
    let body = json!({
        "type": "track", "userId": user.to_string(), "event": number.to_string(),
        "messageId": format!("{user}/{number}"), "timestamp": "2026-01-02T03:04:05Z", "writeKey": "web-key",
    });
    let body = body.to_string();
    for attempt in number.. {
        let url = {
            let urls = urls.lock().unwrap();
            urls[attempt % urls.len()].clone()
        };
        let answer =
            tokio::time::timeout(Duration::from_secs(3), try_send(Method::POST, &url, &[], body.clone()));
        if let Ok(Ok(answer)) = answer.await
            && answer.status == 200
        {
            return true;
        }
        if stop.is_cancelled() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
