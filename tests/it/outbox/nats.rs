//! What only the NATS backend has: answers that are lost, batches that arrive late, relays that were taken over.

use std::time::{Duration, Instant};

use accoil_relay::facts::Facts;
use accoil_relay::outbox::{AcceptError, Outbox, Receipt, Submission, WaitingFilter};
use tokio_util::sync::CancellationToken;

use super::contract::{LIMIT, cluster_options};
use super::{bodies, delivered, flush, jobs, options, reject, settle, single, submission};
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
    let began = Instant::now();
    loop {
        match outbox.accept(submission()).await {
            Ok(receipt) => return receipt,
            Err(error) => assert!(error == AcceptError::Away && began.elapsed() < LIMIT, "{error}"),
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
    assert_eq!(outbox.accept(single(None, "u", &noise)).await, Err(AcceptError::TooLarge));
    let noise: &'static str = noise.leak();
    let refused = submission(Vec::new(), vec![reject(noise, "[]")]);
    assert_eq!(outbox.accept(refused).await, Err(AcceptError::TooLarge));
    assert_eq!(outbox.accept(single(None, "u", "2")).await.unwrap().accepted, 1);
    let rejects = submission(Vec::new(), vec![reject(text.leak(), "[]")]);
    outbox.accept(rejects).await.unwrap();
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
        outbox.accept(single(Some(&number.to_string()), "u", "1")).await.unwrap();
    }
    flush(&outbox).await;
    outbox.close().await;
    // The first batch after a start keeps house.
    let outbox = Outbox::open_cluster(&options, Facts::off(), &CancellationToken::new()).await.unwrap();
    gain(&outbox).await;
    outbox.accept(single(None, "u", "2")).await.unwrap();
    let context = async_nats::jetstream::new(async_nats::connect(&server).await.unwrap());
    let began = Instant::now();
    loop {
        let stored = context.get_stream(&stream).await.unwrap();
        let subjects = stored.info_with_subjects(format!("{stream}.i.>")).await.unwrap();
        let left = futures_util::StreamExt::count(subjects).await;
        if left == 10 {
            break;
        }
        assert!(left > 10 && began.elapsed() < LIMIT, "{left} records of ids");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(outbox.accept(single(Some("29"), "u", "1")).await.unwrap().duplicates, 1);
}

#[tokio::test]
async fn a_list_leaves_no_consumer_at_the_server() {
    let (server, stream) = (servers::shared().url(), stream());
    let outbox = open(server.clone(), &stream).await;
    gain(&outbox).await;
    outbox.accept(single(None, "u", "1")).await.unwrap();
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
