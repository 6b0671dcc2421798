//! Lanes that come and go. A second outbox stands for a lane that other relays own too.

use std::time::Duration;

use chrono::Utc;
use tokio::sync::watch;
use tokio::time::Instant;

use super::world::{World, answer, users};
use crate::accoil::Fingerprint;
use crate::deliver::CallError;
use crate::deliver::worker::{Call, Work, Worker};
use crate::outbox::{Lane, Lanes, Lease, Outbox, Settlement};

const HOUR: Duration = Duration::from_secs(3600);

/// The lane of the second outbox, with a lease for this long.
fn second_lane(outbox: &Outbox, epoch: u64, valid_for: Duration) -> (Lane, Lease) {
    let lease = Lease::until(Instant::now() + valid_for);
    (Lane::new(0, epoch, lease.clone(), outbox.clone()), lease)
}

fn lanes(first: &Outbox, second: Option<&Lane>) -> Lanes {
    let mut owned = first.lanes().borrow().owned.clone();
    owned.extend(second.cloned());
    Lanes { owned, all: 2 }
}

/// The number of calls that wait.
fn left_in(outbox: &Outbox) -> u64 {
    outbox.usage().waiting.rows
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|&name| name.to_owned()).collect()
}

/// Its last owner has parked a user's first call and left the later ones in their chunk.
#[tokio::test(start_paused = true)]
async fn a_gained_lane_is_recovered_and_no_call_starts_that_may_outlast_its_lease() {
    let mut world = World::new(|_| (Duration::from_millis(10), answer(202)));
    let (first, second) = (world.open("relay.db"), world.open("second.db"));
    second.accept(world.submission(names(&["s0", "s0", "s0", "s1"]))).await.unwrap();
    let (lane, _lease) = second_lane(&second, 1, HOUR);
    let chunk = lane.next_chunk(lane.start()).await.unwrap().unwrap();
    let job = Box::new(chunk.jobs("accoil").unwrap().remove(0));
    lane.settle(vec![Settlement::Parked { job, attempts: Vec::new(), next_attempt_at: Some(Utc::now()) }]);
    second.close().await;
    let second = world.open("second.db");
    let (lane, lease) = second_lane(&second, 2, Duration::from_secs(10));

    let shown = watch::Sender::new(lanes(&first, None));
    let run = world.start_on(vec![first.clone(), second.clone()], shown.subscribe());
    world.accept(&run, users("f", 20)).await;
    world.ended(20).await;
    shown.send_replace(lanes(&first, Some(&lane)));
    world.accept(&run, users("f", 20)).await;
    world.ended(40).await;
    assert_eq!(world.destination.lock().unwrap().calls.len(), 40, "a call may take longer than this lease");
    lease.renew(Instant::now() + HOUR);
    world.ended(44).await;
    // The first lane, which did not change, was not read again.
    assert_eq!(world.destination.lock().unwrap().calls.len(), 44);
    run.stop().await;
    second.close().await;
    assert_eq!((left_in(&first), left_in(&second)), (0, 0));
    assert_eq!(world.destination.lock().unwrap().faults, [""; 0]);
}

/// Three of its calls are in flight when it is lost. The next owner, here the same relay again, makes them once more.
#[tokio::test(start_paused = true)]
async fn a_lost_lane_is_dropped_and_its_calls_in_flight_settle_nothing() {
    let mut world = World::new(|call| {
        let is_slow = call.user.starts_with('s') && call.at < Duration::from_secs(20);
        (if is_slow { Duration::from_secs(25) } else { Duration::from_millis(10) }, answer(202))
    });
    let (first, second) = (world.open("relay.db"), world.open("second.db"));
    second.accept(world.submission(names(&["s0", "s0", "s0", "s1", "s2"]))).await.unwrap();
    let (lane, lease) = second_lane(&second, 1, HOUR);
    let shown = watch::Sender::new(lanes(&first, None));
    let mut run = world.start_on(vec![first.clone(), second.clone()], shown.subscribe());
    world.accept(&run, users("f", 20)).await;
    world.ended(20).await;
    shown.send_replace(lanes(&first, Some(&lane)));
    run.status.wait_for(|status| status.in_flight == 3).await.unwrap();

    lease.end();
    shown.send_replace(lanes(&first, None));
    world.accept(&run, users("f", 20)).await;
    world.ended(40).await;
    assert_eq!(run.status.borrow().in_flight, 3, "they are answered later");
    world.ended(43).await;
    run.status.wait_for(|status| status.in_flight == 0 && status.loaded == 0).await.unwrap();
    assert_eq!(world.destination.lock().unwrap().calls.len(), 43, "the others were not made");
    second.flush().await.unwrap();
    assert_eq!(left_in(&second), 5, "nothing was settled");
    assert_eq!(lane.parked_users("accoil").await.unwrap(), [], "nothing was parked");

    for user in ["s0", "s1", "s2"] {
        world.destination.lock().unwrap().last.remove(user);
    }
    let (again, _lease) = second_lane(&second, 2, HOUR);
    shown.send_replace(lanes(&first, Some(&again)));
    world.ended(48).await;
    run.stop().await;
    second.close().await;
    assert_eq!((left_in(&first), left_in(&second)), (0, 0));
    assert_eq!(world.destination.lock().unwrap().faults, [""; 0]);
}

/// The users of a group are in two lanes. If a lane held back what it sent last itself, the second "pro" would be missing, and Accoil would keep
/// "free".
#[tokio::test(start_paused = true)]
async fn traits_of_a_group_that_change_back_and_forth_in_two_lanes_are_all_sent() {
    let mut world = World::new(|_| (Duration::from_millis(10), answer(202)));
    let (first, second, third) = (world.open("relay.db"), world.open("second.db"), world.open("third.db"));
    let ((one, _one), (two, _two)) = (second_lane(&second, 1, HOUR), second_lane(&third, 2, HOUR));
    let mut all = lanes(&first, Some(&one));
    all.owned.push(two);
    let shown = watch::Sender::new(all);
    let run = world.start_on(vec![first.clone(), second.clone(), third.clone()], shown.subscribe());
    let group = |traits: &[u8]| Fingerprint::new(&[b"group", b"g"], &[traits]);
    let member = |user: &str| Fingerprint::new(&[b"member", user.as_bytes(), b"g"], &[]);
    let mut made = 0;
    for (outbox, user, traits) in
        [(&second, "s0", "pro"), (&third, "t0", "free"), (&second, "s0", "pro"), (&third, "t0", "free")]
    {
        let mut post = world.submission(names(&[user]));
        post.accepted[0].requests[0].fingerprints = vec![group(traits.as_bytes()), member(user)];
        outbox.accept(post).await.unwrap();
        // A commit of the first outbox wakes the dispatcher.
        world.accept(&run, users("f", 1)).await;
        made += 2;
        world.ended(made).await;
    }
    run.stop().await;
    assert_eq!(world.destination.lock().unwrap().calls.len(), made);
    assert_eq!(world.destination.lock().unwrap().faults, [""; 0]);
    assert_eq!((left_in(&second), left_in(&third)), (0, 0));
}

/// The process stood still between handing out the call and making it: the lane may be another relay's by now.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_begun_after_its_time_is_not_made() {
    let mut world = World::new(|_| (Duration::from_millis(10), answer(202)));
    let outbox = world.open("relay.db");
    outbox.accept(world.submission(names(&["s0", "s1"]))).await.unwrap();
    let lane = outbox.lanes().borrow().owned[0].clone();
    let chunk = lane.next_chunk(lane.start()).await.unwrap().unwrap();
    let target = std::sync::Arc::new(world.target());
    let (calls, handed) = async_channel::unbounded();
    let (done, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let began = Instant::now();
    tokio::time::advance(target.timeout).await;
    for (job, began) in chunk.jobs("accoil").unwrap().into_iter().zip([began, Instant::now()]) {
        calls.send(Call { work: Work::new(job, Vec::new(), 0), began }).await.unwrap();
    }
    calls.close();
    Worker::new(target, handed, done).run().await;
    let outcomes = [answers.recv().await.unwrap().outcome, answers.recv().await.unwrap().outcome];
    assert!(matches!(outcomes[0], Err(CallError::TooLate)), "{outcomes:?}");
    assert!(matches!(outcomes[1], Err(CallError::Connect(_))), "it was made: {outcomes:?}");
}
