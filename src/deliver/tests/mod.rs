//! The dispatcher against a scripted destination, on a clock that runs as fast as possible, over a real outbox: no
//! call is lost or made twice, each user's calls stay in order, one user has one call at a time, and nobody waits for
//! ever.

mod lanes;
mod world;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::*;
use crate::facts::{Fact, Facts, OutcomeKind, Record};
use world::{Dice, WORKERS, World, answer, users};

/// Any mixture of outcomes, a user with many calls, and restarts in the middle.
#[tokio::test(start_paused = true)]
async fn all_calls_arrive_once_and_in_order_whatever_happens() {
    for seed in 0..6 {
        let (mut dice, mut choice) = (Dice(seed), Dice(seed ^ 0xABCD));
        let bad = choice.roll(60);
        let mut world = World::new(move |_| {
            let time = Duration::from_millis(dice.roll(200));
            let outcome = match dice.roll(100) {
                roll if roll >= bad => answer(202),
                roll if roll % 9 == 0 => answer(400),
                13 => answer(401),
                14 => answer(404),
                roll if roll % 9 == 2 => Err(CallError::HeadersTimeout),
                roll if roll % 9 == 3 => answer(429),
                _ => answer(503),
            };
            (time, outcome)
        });
        world.step = Duration::from_millis(500);
        world.schedule.longest = Duration::from_secs(2);
        world.pauses.longest = Duration::from_secs(1);
        let mut run = world.start();
        world.accept(&run, vec!["busy".to_owned(); 300]).await;
        for _ in 0..6 {
            for _ in 0..choice.roll(12) {
                let crowd = usize::try_from(choice.roll(30)).unwrap();
                world.accept(&run, users("u", crowd)).await;
                world.accept(&run, vec!["busy".to_owned(); 9]).await;
            }
            let share = world.sent * usize::try_from(choice.roll(100)).unwrap() / 100;
            world.ended(share).await;
            if choice.roll(2) == 0 {
                run.stop().await;
                run = world.start();
            }
        }
        world.conclude(run).await;
    }
}

/// A dead destination costs a probe from time to time, whatever waits; later everything arrives.
#[tokio::test(start_paused = true)]
async fn an_outage_costs_probes_and_a_bounded_window() {
    const OUTAGE: Duration = Duration::from_secs(600);
    let mut world = World::new(|call| {
        let outcome = if call.at < OUTAGE { answer(503) } else { answer(202) };
        (Duration::from_millis(20), outcome)
    });
    let mut run = world.start();
    for _ in 0..40 {
        world.accept(&run, users("u", 1_000)).await;
    }
    let mut most_loaded = 0;
    while world.destination.lock().unwrap().started.elapsed() < OUTAGE {
        run.status.changed().await.unwrap();
        most_loaded = most_loaded.max(run.status.borrow_and_update().loaded);
    }
    assert!(most_loaded < 20_000, "{most_loaded} loaded of 40000");
    let calls = world.calls_before(OUTAGE);
    assert!(calls < WORKERS + 40, "{calls} calls to a dead destination");
    world.conclude(run).await;
}

/// One user's first call fails, while the others have more calls than can be sent.
#[tokio::test(start_paused = true)]
async fn a_backlog_does_not_keep_out_who_waits_for_a_retry() {
    let mut world = World::new(|call| {
        let fails = call.user == "unlucky" && call.attempt == 0;
        (Duration::from_millis(10), if fails { answer(500) } else { answer(202) })
    });
    let run = world.start();
    world.accept(&run, ["unlucky".to_owned()]).await;
    for _ in 0..40 {
        world.accept(&run, users("u", 1_000)).await;
    }
    // At most one window and the calls of one second.
    world.ended(22_000).await;
    let unlucky = world.destination.lock().unwrap().last.contains_key("unlucky");
    assert!(unlucky, "the second attempt was not among the first 22000 calls");
    world.conclude(run).await;
}

/// One user's backlog, larger than the window, leaves room for users who come later.
#[tokio::test(start_paused = true)]
async fn one_users_backlog_holds_up_nobody_else() {
    let mut world = World::new(|_| (Duration::from_millis(50), answer(202)));
    let run = world.start();
    for _ in 0..18 {
        world.accept(&run, vec!["busy".to_owned(); 1_000]).await;
    }
    world.accept(&run, users("u", 100)).await;
    world.ended(200).await;
    let destination = world.destination.lock().unwrap();
    let busy = destination.last.get("busy").copied();
    let others = destination.last.len() - 1;
    assert!(others == 100 && busy < Some(200), "{others} others; busy is at {busy:?}");
}

/// A refused key makes no dead letter, is probed twice a minute, and costs no attempt.
#[tokio::test(start_paused = true)]
async fn a_refused_key_keeps_the_queue() {
    const REFUSED: Duration = Duration::from_secs(3 * 60 * 60);
    let mut world = World::new(|call| {
        let outcome = match call.at {
            at if at < REFUSED => answer(401),
            at if at < REFUSED + Duration::from_secs(30) => answer(503),
            _ => answer(202),
        };
        (Duration::from_millis(20), outcome)
    });
    world.step = Duration::from_secs(1);
    world.schedule.most_attempts = 60;
    world.schedule.most_age = Duration::from_secs(60 * 60);
    let mut run = world.start();
    for _ in 0..50 {
        world.accept(&run, users("u", 20)).await;
    }
    let refused = |status: &Status| status.state == State::CredentialsRefused;
    let status = run.status.wait_for(refused).await.unwrap().clone();
    assert_eq!(status.reason(), Some("answered 401"));
    let answers_again = |status: &Status| status.state == State::Ok;
    let _ = run.status.wait_for(answers_again).await.unwrap();
    let (calls, minutes) = (world.calls_before(REFUSED), 3 * 60);
    assert!(calls <= 2 * minutes + WORKERS, "{calls} calls in {minutes} minutes");
    let status = world.conclude(run).await;
    assert_eq!((status.state, status.dead, status.delivered), (State::Ok, 0, 1_000));
}

/// A wrong address costs few attempts and makes no dead letter. A call that failed before it for another reason loses
/// neither age nor attempts.
#[tokio::test(start_paused = true)]
async fn answers_about_the_place_keep_the_queue() {
    const WRONG: Duration = Duration::from_secs(3 * 60 * 60);
    let mut world = World::new(|call| {
        let outcome = match (call.user, call.at) {
            ("unlucky", at)
                if at < Duration::from_secs(30)
                    || (WRONG..WRONG + Duration::from_secs(120)).contains(&at) =>
            {
                answer(503)
            }
            (_, at) if at > Duration::from_secs(5) && at < WRONG => answer(404),
            _ => answer(202),
        };
        (Duration::from_millis(20), outcome)
    });
    world.step = Duration::from_secs(1);
    world.schedule.most_attempts = 60;
    world.schedule.most_age = Duration::from_secs(60 * 60);
    let mut run = world.start();
    world.accept(&run, ["unlucky".to_owned()]).await;
    world.accept(&run, users("u", 1)).await;
    world.ended(1).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    for _ in 0..100 {
        world.accept(&run, users("u", 20)).await;
    }
    let refused = |status: &Status| status.state == State::CallsRefused;
    let status = run.status.wait_for(refused).await.unwrap().clone();
    assert_eq!(status.reason(), Some("answered 404"));
    let minute = world.calls_before(Duration::from_secs(60));
    assert!(minute <= 20, "{minute} calls in the first minute");
    let calls = world.calls_before(WRONG);
    assert!(calls <= 2 * 3 * 60 + 20, "{calls} calls");
    let status = world.conclude(run).await;
    assert_eq!((status.state, status.dead, status.delivered), (State::Ok, 0, 2_002));
    assert_eq!(status.failing_users, 0);
}

/// After `Retry-After: 10`, a call that was in flight succeeds half a second later: nothing is sent for ten seconds.
#[tokio::test(start_paused = true)]
async fn a_success_in_flight_does_not_shorten_a_pause_that_was_asked_for() {
    const FIRST: Duration = Duration::from_secs(1);
    let mut world = World::new(|call| match call.user {
        "limited" if call.attempt == 0 => {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("10"));
            (FIRST, Ok(Answer { status: 429, headers, body: Bytes::new() }))
        }
        "slow" => (FIRST + Duration::from_millis(500), answer(202)),
        _ => (Duration::from_millis(10), answer(202)),
    });
    let mut run = world.start();
    // Several calls at once are allowed only after a first success.
    world.accept(&run, ["proof".to_owned()]).await;
    world.ended(1).await;
    world.accept(&run, ["limited".to_owned(), "slow".to_owned()]).await;
    let paused = |status: &Status| status.state == State::Paused;
    let asked_at = {
        let _ = run.status.wait_for(paused).await.unwrap();
        world.destination.lock().unwrap().started.elapsed()
    };
    world.ended(2).await;
    world.accept(&run, users("u", 50)).await;
    world.ended(world.sent).await;
    let early = world.calls_before(asked_at + Duration::from_millis(9_900));
    assert_eq!(early, 3, "only the three calls that began before the pause");
    world.conclude(run).await;
}

/// One user's call fails for long while others succeed: it is counted until it is delivered.
#[tokio::test(start_paused = true)]
async fn a_user_whose_call_fails_for_a_minute_is_counted() {
    const BAD: Duration = Duration::from_secs(300);
    let mut world = World::new(|call| {
        let fails = call.user == "unlucky" && call.at < BAD;
        (Duration::from_millis(10), if fails { answer(500) } else { answer(202) })
    });
    world.step = Duration::from_millis(500);
    world.schedule.longest = Duration::from_secs(20);
    let mut run = world.start();
    world.accept(&run, ["unlucky".to_owned()]).await;
    for _ in 0..40 {
        world.accept(&run, users("u", 5)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let status = run.status.wait_for(|status| status.failing_users == 1).await.unwrap().clone();
    assert_eq!((status.state, status.waiting_users), (State::Ok, 1));
    assert!(status.counters.failures().iter().all(|one| one.status == Some(500)));
    let status = world.conclude(run).await;
    assert_eq!(status.failing_users, 0);
    assert_eq!(status.counters.call_time.count(), status.delivered + status.retried);
}

/// Each attempt and each settlement is one outcome: the result, the reason, and the duration.
#[tokio::test(start_paused = true)]
async fn every_attempt_and_settlement_is_emitted_once() {
    let mut world = World::new(|call| {
        let outcome = match (call.user, call.attempt) {
            ("fails", 0) => answer(503),
            ("fails", 1) => Err(CallError::HeadersTimeout),
            ("wrong", _) => answer(400),
            _ => answer(202),
        };
        (Duration::from_millis(10), outcome)
    });
    let (facts, inbox) = Facts::channel();
    world.facts = facts;
    let run = world.start();
    world.accept(&run, ["fails", "fails", "wrong", "well"].map(str::to_owned)).await;
    let status = world.conclude(run).await;
    let mut seen = Vec::new();
    let mut endings = Vec::new();
    while let Ok(fact) = inbox.take(Duration::ZERO) {
        let Fact::Batch(batch) = fact else { continue };
        endings.extend(batch.endings.iter().cloned());
        for record in batch.records() {
            let Record::Outcome(outcome) = record else { continue };
            assert!(outcome.took_us >= 10_000 || outcome.attempt == 0, "{outcome:?}");
            let ending = &endings[outcome.ending as usize];
            assert_eq!(&*ending.destination, "accoil");
            let reason = ending.reason.map_or("", crate::reasons::Reason::code);
            seen.push((ending.kind, outcome.attempt, ending.status, reason));
        }
    }
    seen.sort_by_key(|(kind, attempt, ..)| (*attempt, format!("{kind:?}")));
    assert_eq!(
        seen,
        [
            (OutcomeKind::Behind, 0, 0, "wait.behind"),
            (OutcomeKind::Dead, 1, 400, "dead.refused"),
            (OutcomeKind::Delivered, 1, 202, ""),
            (OutcomeKind::Waits, 1, 503, "wait.5xx"),
            (OutcomeKind::Waits, 1, 503, "wait.5xx"),
            (OutcomeKind::Waits, 2, 0, "wait.timeout"),
            (OutcomeKind::Waits, 2, 0, "wait.timeout"),
            (OutcomeKind::Delivered, 3, 202, ""),
            (OutcomeKind::Delivered, 3, 202, ""),
        ]
    );
    assert_eq!((status.delivered, status.retried, status.dead, status.held), (3, 4, 1, 0));
}

/// While tens of thousands of old events are sent, a live one gets the next free worker, unless its user has old ones
/// left: these go before it, and before everybody else's.
#[tokio::test(start_paused = true)]
async fn old_events_delay_no_live_one_and_a_users_order_holds_across_both() {
    const CALL: Duration = Duration::from_millis(40);
    let begun = Arc::new(Mutex::new(HashMap::new()));
    let seen = Arc::clone(&begun);
    let mut world = World::new(move |call| {
        seen.lock().unwrap().entry(call.user.to_owned()).or_insert(call.at);
        let fails = call.user.ends_with("77") && call.attempt == 0;
        (CALL, if fails { answer(503) } else { answer(202) })
    });
    world.pauses.longest = Duration::from_secs(1);
    let started = world.destination.lock().unwrap().started;
    let mut run = world.start();
    let (mut accepted, mut most) = (HashMap::new(), 0);
    for round in 0..100 {
        world.accept_old(&run, users(&format!("old{round}-"), 200)).await;
        most = most.max(run.outbox.background().pending("accoil"));
        if round % 10 == 5 {
            // The user of the last background calls, and a user without old events.
            let both = [format!("live{round}"), format!("old{round}-199")];
            accepted.insert(both[0].clone(), started.elapsed());
            world.accept(&run, both).await;
        }
        if round == 50 {
            run.stop().await;
            run = world.start();
        }
    }
    // After a restart those that were left count when the dispatcher has read them.
    assert!(most <= 2200, "{most} old calls were pending");
    world.ended(world.sent).await;
    let is_idle = |status: &Status| status.loaded == 0 && status.waiting_users == 0;
    run.status.wait_for(is_idle).await.unwrap();
    assert_eq!(run.outbox.background().pending("accoil"), 0, "all is counted back");
    world.conclude(run).await;
    let begun = begun.lock().unwrap();
    for (user, at) in accepted {
        let waited = begun[&user].saturating_sub(at);
        assert!(waited < 4 * CALL, "{user} waited {waited:?}");
    }
}

/// Old events that are accepted while the dispatcher still reads what the last run left must be counted once: what is counted
/// twice is never counted back, and would in the end delay all old events for ever.
#[tokio::test(start_paused = true)]
async fn old_events_that_come_during_a_start_count_once() {
    let mut world = World::new(|_| (Duration::from_millis(1), answer(202)));
    for round in 0..30 {
        let run = world.start();
        world.accept_old(&run, users(&format!("old{round}-"), 3)).await;
        world.ended(world.sent).await;
        let is_idle = |status: &Status| status.loaded == 0 && status.waiting_users == 0;
        run.status.clone().wait_for(is_idle).await.unwrap();
        assert_eq!(run.outbox.background().pending("accoil"), 0, "round {round}");
        run.stop().await;
    }
}
