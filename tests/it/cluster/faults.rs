//! What each failure of a relay or a node does.

use std::time::{Duration, Instant};

use super::proxy::Line;
use super::trial::Trial;
use crate::crash::number_from_environment;

/// `KILLS` in the environment sets another number.
const KILLS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_killed_in_turn_lose_nothing_and_keep_each_users_order() {
    let kills = number_from_environment("KILLS", KILLS);
    let mut trial = Trial::start(2).await;
    trial.begin();
    let (mut longest, mut longest_start) = (Duration::ZERO, Duration::ZERO);
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(700)).await;
        longest_start = longest_start.max(trial.kill_and_restart(kill % 2).await);
        longest = longest.max(trial.accepts_again().await);
    }
    println!(
        "a relay starts within {longest_start:?}; after that events of all users are accepted again after {longest:?} at most"
    );
    trial.verdict(&format!("{kills} kills of two relays")).await;
}

/// Each server once, so that the leader is among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_and_a_relay_killed_at_once_lose_nothing_and_the_other_relay_goes_on() {
    let mut trial = Trial::start(2).await;
    trial.begin();
    trial.accepts_again().await;
    for number in 0..3 {
        let (relay, began) = (number % 2, Instant::now());
        trial.cluster.servers[number].signal("KILL");
        trial.kill(relay).await;
        trial.accepts_again().await;
        println!(
            "{:?} after the kill of server {number} and relay {relay} every user's events are accepted",
            began.elapsed()
        );
        trial.cluster.servers[number].restart();
        trial.cluster.servers[number].wait_until_it_listens();
        trial.restart(relay).await;
        trial.accepts_again().await;
    }
    trial.verdict("a server and a relay killed at once, three times").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_posts_get_503_within_a_second_and_the_relays_recover_by_themselves() {
    let mut trial = Trial::start(2).await;
    trial.begin();
    trial.accepts_again().await;
    trial.note_settled(0).await;

    trial.cluster.servers[0].signal("KILL");
    let took = trial.accepts_again().await;
    println!("a node of three was killed: accepting again after {took:?}");

    trial.cluster.servers[1].signal("KILL");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let lost = trial.acknowledged();
    for relay in 0..trial.relays.len() {
        trial.relay_refuses(relay).await;
    }
    assert_eq!(trial.acknowledged(), lost, "nothing is accepted without a quorum");

    trial.cluster.servers[0].restart();
    trial.cluster.servers[1].restart();
    let took = trial.accepts_again().await;
    println!("both nodes are back: accepting again after {took:?}");
    trial.verdict("two of three nodes killed and started again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_stands_still_past_its_lease_repeats_no_call_that_was_settled() {
    let mut trial = Trial::start(2).await;
    trial.begin();
    trial.accepts_again().await;
    trial.relays[0].signal("STOP");
    trial.note_settled(1).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    // The other relay has delivered what the senders sent again: the first one must not accept it too.
    trial.note_settled(1).await;
    trial.relays[0].signal("CONT");
    trial.accepts_again().await;
    trial.verdict("a relay stood still for twice its lease").await;
}

/// The first relay's connection to the cluster is slow, then cut for longer than its lease, then loses the answers to what it stores.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_whose_connection_is_cut_or_loses_answers_recovers_without_a_restart() {
    let mut trial = Trial::start_behind_proxies(2).await;
    trial.begin();
    trial.accepts_again().await;

    trial.line(Line::Slow(Duration::from_millis(20)));
    trial.accepts_again().await;
    trial.relay_accepts(0).await;

    trial.line(Line::Cut);
    trial.note_settled(1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    trial.relay_refuses(0).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    trial.accepts_again().await;
    trial.note_settled(1).await;
    trial.line(Line::Open);
    trial.relay_accepts(0).await;

    for _ in 0..3 {
        trial.note_settled(1).await;
        trial.line(Line::NoAnswers);
        tokio::time::sleep(Duration::from_millis(700)).await;
        trial.line(Line::Cut);
        tokio::time::sleep(Duration::from_millis(200)).await;
        trial.line(Line::Open);
        trial.relay_accepts(0).await;
    }
    trial.verdict("a cut for twice the lease, and answers lost three times").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_and_a_rolling_restart_of_all_lose_nothing() {
    let mut trial = Trial::start(2).await;
    trial.begin();
    trial.accepts_again().await;
    trial.note_settled(0).await;
    trial.cluster.servers[0].signal("STOP");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let took = trial.accepts_again().await;
    println!("a server stood still for 3 s: accepting again after {took:?} more");
    trial.cluster.servers[0].signal("CONT");
    trial.accepts_again().await;
    for number in 0..3 {
        trial.cluster.servers[number].stop();
        trial.cluster.servers[number].restart();
        trial.cluster.servers[number].wait_until_it_listens();
        let took = trial.accepts_again().await;
        println!("server {number} was restarted: accepting again after {took:?}");
    }
    trial.verdict("a server stood still, then all three restarted in turn").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_four_relays_one_that_stands_still_holds_up_none_of_the_others() {
    let mut trial = Trial::start(4).await;
    trial.begin();
    trial.accepts_again().await;
    for number in [3, 1] {
        trial.relays[number].signal("STOP");
        trial.note_settled(0).await;
        trial.accepts_again().await;
        trial.relays[number].signal("CONT");
        trial.accepts_again().await;
    }
    trial.verdict("two of four relays stood still, one after the other").await;
}
