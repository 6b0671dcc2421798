//! What each failure of a relay or a node does.

use std::time::{Duration, Instant};

use http::Method;

use super::trial::Trial;
use crate::crash::number_from_environment;
use crate::http::send;

/// `KILLS` in the environment sets another number.
const KILLS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_killed_in_turn_lose_nothing_and_keep_each_users_order() {
    let kills = number_from_environment("KILLS", KILLS);
    let mut trial = Trial::start(2).await;
    trial.begin();
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(700)).await;
        trial.kill_and_restart(kill % 2).await;
        trial.accepts_again(Duration::from_secs(10)).await;
    }
    trial.verdict(&format!("{kills} kills of two relays"), kills).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_posts_get_503_within_a_second_and_the_relays_recover_by_themselves() {
    let mut trial = Trial::start(2).await;
    trial.begin();
    trial.accepts_again(Duration::from_secs(20)).await;

    trial.cluster.servers[0].signal("KILL");
    let took = trial.accepts_again(Duration::from_secs(20)).await;
    println!("a node of three was killed: accepting again after {took:?}");

    trial.cluster.servers[1].signal("KILL");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let lost = trial.acknowledged();
    for relay in &trial.relays {
        let began = Instant::now();
        let body = r#"{"type":"track","userId":"x","event":"0","writeKey":"web-key"}"#;
        let answer = send(Method::POST, &relay.url("/v1/track"), &[], body).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    assert_eq!(trial.acknowledged(), lost, "nothing is accepted without a quorum");

    trial.cluster.servers[0].restart();
    trial.cluster.servers[1].restart();
    let took = trial.accepts_again(Duration::from_secs(40)).await;
    println!("both nodes are back: accepting again after {took:?}");
    trial.verdict("two of three nodes killed and started again", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_stands_still_past_its_lease_repeats_at_most_its_calls_in_flight() {
    let mut trial = Trial::start(2).await;
    trial.begin();
    trial.accepts_again(Duration::from_secs(20)).await;
    trial.relays[0].signal("STOP");
    tokio::time::sleep(Duration::from_secs(6)).await;
    trial.relays[0].signal("CONT");
    trial.accepts_again(Duration::from_secs(20)).await;
    trial.verdict("a relay stood still for twice its lease", 1).await;
}
