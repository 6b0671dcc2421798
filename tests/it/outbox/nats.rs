//! What only the NATS backend has: answers that are lost, batches that arrive late, relays that were taken over.

use std::time::{Duration, Instant};

use accoil_relay::accoil::Fingerprint;
use accoil_relay::facts::Facts;
use accoil_relay::outbox::{AcceptError, Outbox, Receipt, Settlement, Submission, WaitingFilter};
use tokio_util::sync::CancellationToken;

use super::contract::{Home, LIMIT, cluster_options};
use super::{
    bodies, delivered, event, flush, jobs, lanes, options, reject, request, settle, single, submission,
};
use crate::cluster::holding_proxy::HoldingProxy;
use crate::cluster::servers;

fn stream() -> String {
    format!("test-{}", uuid::Uuid::new_v4().simple())
}

async fn open(server: String, stream: &str) -> Outbox {
    let options = cluster_options(server, stream, &options(std::path::Path::new("")));
    Outbox::open_cluster(&options, Facts::off(), &CancellationToken::new()).await.unwrap()
}

async fn gain(outbox: &Outbox) {
    let mut lanes = outbox.lanes();
    let owned = lanes.wait_for(|lanes| !lanes.owned.is_empty());
    assert!(tokio::time::timeout(LIMIT, owned).await.expect("it gains the lane").is_ok());
}

/// Posts again and again until the cluster answers, as a sender does.
async fn accept(outbox: &Outbox, submission: impl Fn() -> Submission) -> Receipt {
    answer(outbox, submission).await.unwrap()
}

/// Tries again while the cluster is away: on a busy machine a server may be silent for a second.
async fn answer(outbox: &Outbox, submission: impl Fn() -> Submission) -> Result<Receipt, AcceptError> {
    let began = Instant::now();
    loop {
        let answer = outbox.accept(submission()).await;
        if answer != Err(AcceptError::Away) || began.elapsed() > LIMIT {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_answer_is_lost_counts_once() {
    let (proxy, stream) = (HoldingProxy::start(servers::shared().port).await, stream());
    let outbox = open(proxy.url(), &stream).await;
    gain(&outbox).await;
    assert_eq!(accept(&outbox, || single(Some("m1"), "u", "1")).await.accepted, 1);
    proxy.hold_answers();
    assert_eq!(outbox.accept(single(Some("m2"), "u", "2")).await, Err(AcceptError::Away));
    assert_eq!(accept(&outbox, || single(Some("m3"), "u", "3")).await.accepted, 1);
    // It was stored although the sender heard nothing.
    let waiting = jobs(&outbox, "a").await.0;
    assert_eq!(bodies(&waiting), ["1", "2", "3"]);
    assert_eq!(accept(&outbox, || single(Some("m2"), "u", "2")).await.duplicates, 1);

    proxy.hold_answers();
    settle(&outbox, waiting[..2].iter().map(|job| delivered(job.place)).collect());
    tokio::time::timeout(LIMIT, flush(&outbox)).await.expect("it is found out what was stored");
    assert_eq!(outbox.usage().waiting.rows, 1);
    outbox.close().await;
    let outbox = open(servers::shared().url(), &stream).await;
    gain(&outbox).await;
    assert_eq!((bodies(&jobs(&outbox, "a").await.0), outbox.usage().waiting.rows), (vec!["3"], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_arrives_late_is_not_stored() {
    let (proxy, stream) = (HoldingProxy::start(servers::shared().port).await, stream());
    let outbox = open(proxy.url(), &stream).await;
    gain(&outbox).await;
    accept(&outbox, || single(Some("m1"), "u", "1")).await;
    proxy.hold_requests();
    assert_eq!(outbox.accept(single(Some("m2"), "u", "2")).await, Err(AcceptError::Away));
    // The relay connects again, while what it sent before is still on its way.
    accept(&outbox, || single(Some("m3"), "u", "3")).await;
    proxy.pass_all();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(accept(&outbox, || single(Some("m2"), "u", "2")).await.accepted, 1);
    assert_eq!(bodies(&jobs(&outbox, "a").await.0), ["1", "3", "2"]);
    assert_eq!(outbox.usage().waiting.rows, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_was_taken_over_stores_nothing_that_it_sent_before() {
    let (proxy, stream) = (HoldingProxy::start(servers::shared().port).await, stream());
    let first = open(proxy.url(), &stream).await;
    gain(&first).await;
    let second = open(servers::shared().url(), &stream).await;
    proxy.refuse_connections(true);
    proxy.hold_requests();
    let post = || single(Some("m1"), "u", "1");
    assert_eq!(first.accept(post()).await, Err(AcceptError::Away));
    // The sender posts to another relay, which takes over and delivers.
    assert_eq!(accept(&second, post).await.accepted, 1);
    gain(&second).await;
    let waiting = jobs(&second, "a").await.0;
    assert_eq!(bodies(&waiting), ["1"]);
    settle(&second, vec![delivered(waiting[0].place)]);
    flush(&second).await;

    proxy.pass_all();
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.refuse_connections(false);
    assert_eq!(accept(&first, post).await, Receipt { accepted: 0, duplicates: 1 });
    assert_eq!(accept(&second, || single(None, "u", "2")).await.accepted, 1);
    assert_eq!(bodies(&jobs(&second, "a").await.0), ["2"]);
    assert_eq!(second.usage().waiting.rows, 1);
}

#[tokio::test]
async fn an_event_that_fits_into_no_message_is_refused_and_disturbs_nobody() {
    let outbox = open(servers::shared().url(), &stream()).await;
    gain(&outbox).await;
    let text = "x".repeat(3 << 20);
    assert_eq!(accept(&outbox, || single(None, "u", &text)).await.accepted, 1, "it is compressed");
    // What cannot be compressed.
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(33 + u8::try_from((state >> 33) % 90).unwrap())
    };
    let noise: String = (0..3 << 20).map(|_| next()).collect();
    assert_eq!(answer(&outbox, || single(None, "u", &noise)).await, Err(AcceptError::TooLarge));
    let (noise, text): (&'static str, &'static str) = (noise.leak(), text.leak());
    let refused = || submission(Vec::new(), vec![reject(noise, "[]")]);
    assert_eq!(answer(&outbox, refused).await, Err(AcceptError::TooLarge));
    assert_eq!(accept(&outbox, || single(None, "u", "2")).await.accepted, 1);
    accept(&outbox, || submission(Vec::new(), vec![reject(text, "[]")])).await;
    flush(&outbox).await;
    assert_eq!(outbox.usage().rejects.rows, 1);
}

#[tokio::test]
async fn ids_that_no_relay_remembers_are_removed_from_the_stream() {
    let (server, stream) = (servers::shared().url(), stream());
    let mut usual = options(std::path::Path::new(""));
    usual.deduplication_ids = 10;
    let options = cluster_options(server.clone(), &stream, &usual);
    let outbox = Outbox::open_cluster(&options, Facts::off(), &CancellationToken::new()).await.unwrap();
    gain(&outbox).await;
    for number in 0..30 {
        accept(&outbox, || single(Some(&number.to_string()), "u", "1")).await;
    }
    flush(&outbox).await;
    outbox.close().await;
    // The first batch after a start keeps house.
    let outbox = Outbox::open_cluster(&options, Facts::off(), &CancellationToken::new()).await.unwrap();
    gain(&outbox).await;
    accept(&outbox, || single(None, "u", "2")).await;
    let context = async_nats::jetstream::new(async_nats::connect(&server).await.unwrap());
    let began = Instant::now();
    loop {
        let stored = context.get_stream(&stream).await.unwrap();
        let subjects = stored.info_with_subjects(format!("{stream}.i.*.*")).await.unwrap();
        let left = futures_util::StreamExt::count(subjects).await;
        if left == 10 {
            break;
        }
        assert!(left > 10 && began.elapsed() < LIMIT, "{left} records of ids");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(accept(&outbox, || single(Some("29"), "u", "1")).await.duplicates, 1);
}

/// The number of records with subjects that match.
async fn records(subjects: &str) -> usize {
    let (stream, _) = subjects.split_once('.').unwrap();
    let client = async_nats::connect(servers::shared().url()).await.unwrap();
    let stored = async_nats::jetstream::new(client).get_stream(stream).await.unwrap();
    futures_util::StreamExt::count(stored.info_with_subjects(subjects).await.unwrap()).await
}

/// Posts of an event each, so that each has a record of ids of its own.
async fn accept_each(outbox: &Outbox, numbers: std::ops::Range<usize>) {
    for number in numbers {
        accept(outbox, || single(Some(&number.to_string()), "u", "1")).await;
    }
}

/// A fold is stored with the batch after the 500th record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_records_of_ids_become_few_and_no_id_is_forgotten_by_a_kill() {
    let stream = stream();
    let mut home = Home::stream(stream.clone());
    let mut outbox = home.open_with(|options| options.deduplication_ids = 10_000).await;
    let mut from = 0;
    for to in [499, 501, 520, 1600] {
        accept_each(&outbox, from..to).await;
        from = to;
        if to < 1600 {
            home.crash();
            outbox = home.open_with(|options| options.deduplication_ids = 10_000).await;
        }
    }
    let began = Instant::now();
    while records(&format!("{stream}.i.many.>")).await < 3 {
        assert!(began.elapsed() < LIMIT, "three times 500 records are folded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let small = records(&format!("{stream}.i.*.*")).await;
    assert!(small < 1200, "{small} small records: new ones do not take the places of folded ones");

    home.crash();
    let outbox = home.open_with(|options| options.deduplication_ids = 10_000).await;
    for from in (0..1600).step_by(100) {
        let again = (from..from + 100)
            .map(|number: usize| event(Some(&number.to_string()), vec![request("a", "u", "1")]));
        let again = submission(again.collect(), Vec::new());
        assert_eq!(outbox.accept(again).await.unwrap().duplicates, 100, "from {from}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_records_of_fingerprints_become_few_and_the_newest_content_stays() {
    let stream = stream();
    let mut home = Home::stream(stream.clone());
    let outbox = home.open().await;
    let requests = (0..600).map(|number: u64| request("a", "u", number.to_string())).collect();
    outbox.accept(submission(vec![event(None, requests)], Vec::new())).await.unwrap();
    let waiting = jobs(&outbox, "a").await.0;
    assert_eq!(waiting.len(), 600);
    // Ten keys, whose contents change all the time.
    for (number, job) in (0..).zip(waiting) {
        let fingerprints = vec![Fingerprint { key: number % 10, content: number }];
        settle(&outbox, vec![Settlement::Delivered { place: job.place, fingerprints }]);
        flush(&outbox).await;
    }
    let began = Instant::now();
    while records(&format!("{stream}.f.many.>")).await == 0 {
        assert!(began.elapsed() < LIMIT, "500 records are folded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    home.crash();
    let outbox = home.open().await;
    let mut contents: Vec<_> = lanes(&outbox)[0]
        .last_delivered(100)
        .await
        .unwrap()
        .into_iter()
        .map(|(one, _)| one.content)
        .collect();
    contents.sort_unstable();
    assert_eq!(contents, (590..600).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_list_leaves_no_consumer_at_the_server() {
    let (server, stream) = (servers::shared().url(), stream());
    let outbox = open(server.clone(), &stream).await;
    gain(&outbox).await;
    accept(&outbox, || single(None, "u", "1")).await;
    let context = async_nats::jetstream::new(async_nats::connect(&server).await.unwrap());
    let consumers = async || context.get_stream(&stream).await.unwrap().cached_info().state.consumer_count;
    let before = consumers().await;
    for _ in 0..20 {
        assert_eq!(outbox.waiting(WaitingFilter::default(), None, 10).await.unwrap().calls.len(), 1);
    }
    assert!(outbox.oldest_waiting().await.unwrap().is_none(), "the event has no time");
    assert_eq!(outbox.waiting_for_others(&[]).await.unwrap().len(), 1);
    assert_eq!(consumers().await, before);
}

/// A call may take ten minutes here. The second relay waits only for the one that is in flight.
#[tokio::test]
async fn a_lane_changes_hands_as_soon_as_its_calls_have_ended() {
    let longest = Duration::from_secs(600);
    let stream = stream();
    let mut patient = cluster_options(servers::shared().url(), &stream, &options(std::path::Path::new("")));
    (patient.lanes, patient.call_timeout, patient.lease) = (2, longest, longest + LIMIT);
    let open =
        async || Outbox::open_cluster(&patient, Facts::off(), &CancellationToken::new()).await.unwrap();
    let first = open().await;
    let mut gained = first.lanes();
    let both = gained.wait_for(|lanes| lanes.owned.len() == 2);
    assert!(tokio::time::timeout(LIMIT, both).await.expect("it gains both lanes").is_ok());
    for user in 0..10 {
        first.accept(single(None, &user.to_string(), "1")).await.unwrap();
    }
    let waiting = jobs(&first, "a").await.0;
    let lanes = first.lanes().borrow().owned.clone();
    let ends = || tokio::time::Instant::now() + longest;
    assert!(lanes.iter().all(|lane| lane.begin_call(ends())));

    let second = open().await;
    let began = Instant::now();
    let leaving = loop {
        if let Some(lane) = lanes.iter().find(|lane| lane.valid_until() < Some(ends())) {
            break lane;
        }
        assert!(began.elapsed() < LIMIT, "the first relay gives nothing back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(!leaving.begin_call(ends()), "no call begins in a lane that is given back");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(second.lanes().borrow().owned.is_empty(), "a call is still in flight");

    let of_lane = waiting.iter().filter(|job| job.place.position().lane() == leaving.id());
    leaving.settle(of_lane.map(|job| delivered(job.place)).collect());
    leaving.end_calls(1);
    gain(&second).await;
    assert_eq!(second.lanes().borrow().owned[0].id(), leaving.id());
    assert!(leaving.lost());
    assert_eq!(bodies(&jobs(&second, "a").await.0), [""; 0], "what was settled is not made again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_that_start_at_once_share_a_new_stream() {
    let cluster = servers::Cluster::start();
    for _ in 0..5 {
        let stream = stream();
        let one = |server: usize| open(cluster.servers[server].url(), &stream);
        let (first, second, third) = tokio::join!(one(0), one(1), one(2));
        let all = [&first, &second, &third];
        for outbox in all {
            assert_eq!(accept(outbox, || single(None, "u", "1")).await.accepted, 1);
        }
        let began = Instant::now();
        loop {
            let owner = all.iter().find(|outbox| !outbox.lanes().borrow().owned.is_empty());
            if let Some(owner) = owner
                && jobs(owner, "a").await.0.len() == 3
            {
                break;
            }
            assert!(began.elapsed() < LIMIT, "no relay sees what all of them accepted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn the_user_and_password_of_the_address_sign_in() {
    let (server, _folder) = servers::Server::alone("authorization { user: me, password: \"p@ss:word\" }");
    let url = |user: &str| server.url().replace("nats://", &format!("nats://{user}"));
    let outbox = open(url("me:p%40ss%3Aword@"), &stream()).await;
    gain(&outbox).await;
    for (user, told) in [("", "sign in"), ("me:wrong@", "sign in"), ("me@", "without a password")] {
        let options = cluster_options(url(user), &stream(), &options(std::path::Path::new("")));
        let refused = Outbox::open_cluster(&options, Facts::off(), &CancellationToken::new()).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("wrong"), "{error}");
    }
}
