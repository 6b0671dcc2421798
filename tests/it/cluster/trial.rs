//! Relays over one cluster under load, and the oracle. A sender posts a user's next event only after the 200 for the one before, to
//! whatever relay answers.
//!
//! A call that was made and whose settlement is not stored is made again by the next owner of its lane. So at each fault the oracle
//! asks a relay which calls wait; all others are settled, and none of them may be made again. No wait here is without a limit.

use std::collections::{HashMap, HashSet};
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
use crate::http::{Answer, send, try_send};
use crate::relay::{Process, USUAL};
use crate::sandbox::RunningSandbox;

pub(crate) const USERS: usize = 12;
pub(crate) const CONCURRENCY: usize = 4;
/// A safety limit, with time for a slow machine: how long calls may wait for another relay, or senders for a 200.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// A user and the number of the user's event.
type Event = (usize, usize);

/// The calls that were settled at a moment.
struct Settled {
    events: HashSet<Event>,
    /// The calls that had arrived by then.
    arrivals: usize,
}

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
    pub(crate) served: RunningSandbox,
    pub(crate) relays: Vec<Process>,
    /// Between the first relay and each server; empty if it connects directly.
    pub(crate) proxies: Vec<Proxy>,
    folders: Vec<TempDir>,
    urls: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    senders: JoinSet<()>,
    acknowledged: Arc<Mutex<HashMap<usize, usize>>>,
    settled: Vec<Settled>,
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
        let served = RunningSandbox::start(Options { keep: usize::MAX, ..Options::default() }).await;
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
            settled: Vec::new(),
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

    /// Kills a relay, and starts it again; returns how long the start took.
    pub(crate) async fn kill_and_restart(&mut self, number: usize) -> Duration {
        self.kill(number).await;
        let began = Instant::now();
        self.restart(number).await;
        began.elapsed()
    }

    /// Kills a relay of two.
    pub(crate) async fn kill(&mut self, number: usize) {
        self.relays[number].signal("KILL");
        self.relays[number].wait().await;
        self.note_settled(1 - number).await;
    }

    pub(crate) async fn restart(&mut self, number: usize) {
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

    /// From now on no call may be made again that is settled now, as this relay sees it.
    pub(crate) async fn note_settled(&mut self, relay: usize) {
        let mut events: HashSet<Event> = {
            let acknowledged = self.acknowledged.lock().unwrap();
            acknowledged.iter().flat_map(|(user, count)| (0..*count).map(|number| (*user, number))).collect()
        };
        for event in waiting(&self.relays[relay]).await {
            events.remove(&event);
        }
        self.settled.push(Settled { events, arrivals: self.arrivals().len() });
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().values().sum()
    }

    /// Waits until more events are accepted; returns how long that took.
    pub(crate) async fn accepts_again(&self) -> Duration {
        let (began, before) = (Instant::now(), self.acknowledged());
        while self.acknowledged() < before + USERS {
            assert!(began.elapsed() < LIMIT, "nothing is accepted for {LIMIT:?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    }

    /// Changes the first relay's connections to all servers.
    pub(crate) fn line(&self, line: Line) {
        self.proxies.iter().for_each(|proxy| proxy.set(line));
    }

    /// Posts an event to a relay that cannot store it: it says so within a second, or a little later on a slow machine.
    pub(crate) async fn relay_refuses(&self, number: usize) {
        let began = Instant::now();
        let answer = self.probe(number).await.unwrap();
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        println!("a post without a cluster: {} after {:?}", answer.status, began.elapsed());
    }

    /// Posts events to a relay until it stores one.
    pub(crate) async fn relay_accepts(&self, number: usize) {
        let began = Instant::now();
        while self.probe(number).await.is_none_or(|answer| answer.status != 200) {
            assert!(
                began.elapsed() < LIMIT,
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

    /// Ends the load, waits until everything that was acknowledged has arrived, and judges.
    pub(crate) async fn verdict(mut self, what: &str) {
        self.stop.cancel();
        let ended = async { while self.senders.join_next().await.is_some() {} };
        tokio::time::timeout(LIMIT, ended).await.expect("the senders end");
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let began = Instant::now();
        let missing = loop {
            let missing = self.missing(&acknowledged);
            if missing.is_empty() || began.elapsed() > LIMIT {
                break missing;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert!(
            missing.is_empty(),
            "{} acknowledged events never arrived: {missing:?}\n{}",
            missing.len(),
            self.logs()
        );
        let (repeated, disordered) = self.order();
        let total: usize = acknowledged.values().sum();
        println!("{what}: {total} events acknowledged, {repeated} calls repeated");
        assert_eq!(disordered, [""; 0], "{}", self.logs());
        let again = self.settled_and_made_again();
        assert!(again.is_empty(), "settled calls were made again: {again:?}\n{}", self.logs());
        assert!(total > USERS);
    }

    fn logs(&self) -> String {
        self.relays.iter().map(Process::log).collect::<Vec<_>>().join("\n--\n")
    }

    fn settled_and_made_again(&self) -> Vec<Event> {
        let arrivals = self.arrivals();
        let again = |settled: &Settled| {
            let later = arrivals.iter().skip(settled.arrivals);
            later.filter(|event| settled.events.contains(*event)).copied().collect::<Vec<_>>()
        };
        self.settled.iter().flat_map(again).collect()
    }

    fn arrivals(&self) -> Vec<Event> {
        let text = |call: &accoil_relay::sandbox::Received, name| {
            call.body.get(name).and_then(accoil_relay::json::Value::as_str).unwrap().to_owned()
        };
        let received = self.served.sandbox.received();
        received
            .iter()
            .map(|call| (text(call, "userId").parse().unwrap(), text(call, "event").parse().unwrap()))
            .collect()
    }

    fn missing(&self, acknowledged: &HashMap<usize, usize>) -> Vec<Event> {
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

/// The events that wait, as this relay sees them.
async fn waiting(relay: &Process) -> Vec<Event> {
    let (mut events, mut after) = (Vec::new(), String::new());
    loop {
        let url = relay.admin_url(&format!("/api/waiting{after}"));
        let began = Instant::now();
        let answer = loop {
            let answer = send(Method::GET, &url, &[], "").await;
            if answer.status == 200 {
                break answer;
            }
            assert!(began.elapsed() < LIMIT, "{answer:?}");
        };
        let page = answer.json();
        let number = |call: &serde_json::Value, name: &str| call[name].as_str().unwrap().parse().unwrap();
        let calls = page["calls"].as_array().unwrap();
        events.extend(calls.iter().map(|call| (number(call, "user"), number(call, "event"))));
        match page["next"].as_str() {
            Some(next) => after = format!("?after={next}"),
            None => return events,
        }
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
