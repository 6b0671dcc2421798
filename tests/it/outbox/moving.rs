//! `outbox move`: everything arrives once and in order, wherever the move is interrupted.

use std::fs;
use std::path::Path;

use accoil_relay::accoil::Fingerprint;
use accoil_relay::outbox::{
    Filter, Kind, Move, MoveError, NewJob, Outbox, PageFrom, Settlement, WaitingFilter,
};
use chrono::{DateTime, Utc};

use super::contract::{Home, LIMIT};
use super::{
    attempt, dead, delivered, event, flush, jobs, lanes, open, reject, request, settle, single, submission,
};
use crate::relay::command;

const NAME: &str = "sqlite:/old/relay.db";

/// Calls that are queued, in the background, parked, and behind a parked one; dead letters and rejects by turns; a kept
/// value and the content of a delivered call.
async fn filled(folder: &Path) -> Outbox {
    let outbox = open(folder);
    for number in 0..2 {
        outbox.accept(submission(Vec::new(), vec![reject("{\"n\":1}", "[]")])).await.unwrap();
        outbox.accept(single(None, "dead", &number.to_string())).await.unwrap();
        let job = jobs(&outbox, "a").await.0.pop().unwrap();
        settle(&outbox, vec![dead(job, "answered 400: no")]);
        flush(&outbox).await;
    }
    outbox.accept(single(None, "derived", "1")).await.unwrap();
    let job = jobs(&outbox, "a").await.0.pop().unwrap();
    let fingerprints = vec![Fingerprint { key: 7, content: 9 }];
    settle(&outbox, vec![Settlement::Delivered { place: job.place, fingerprints }]);
    let both = vec![request("a", "u1", "1"), request("b", "u1", "2"), request("a", "u2", "3")];
    outbox.accept(submission(vec![event(None, both)], Vec::new())).await.unwrap();
    for (user, body) in [("u1", "4"), ("u3", "5"), ("u1", "6")] {
        outbox.accept(single(None, user, body)).await.unwrap();
    }
    outbox.accept_in_background(single(None, "u4", "7")).await.unwrap();
    let mut waiting = jobs(&outbox, "a").await.0;
    waiting.retain(|job| job.user.as_str() == "u1");
    let (second, first) = (waiting.remove(1), waiting.remove(0));
    let at = DateTime::from_timestamp_millis(Utc::now().timestamp_millis() + 3_600_000);
    let (job, attempts) = (Box::new(first), vec![attempt("answered 503"), attempt("answered 503")]);
    settle(&outbox, vec![Settlement::Parked { job, attempts, next_attempt_at: at }]);
    settle(
        &outbox,
        vec![Settlement::Parked { job: Box::new(second), attempts: Vec::new(), next_attempt_at: None }],
    );
    outbox.keep_value("paused accoil".to_owned(), Some(17)).await.unwrap();
    flush(&outbox).await;
    outbox.close().await;
    open(folder)
}

/// All that must arrive, as text.
async fn content(outbox: &Outbox) -> Vec<String> {
    let mut found = Vec::new();
    for call in outbox.waiting(WaitingFilter::default(), None, 100).await.unwrap().calls {
        let (job, at) = (&call.job, call.next_attempt_at);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        found.push(format!(
            "{} {} {} {} {} {:?} {} {at:?} {:?}",
            job.destination.as_str(),
            job.user.as_str(),
            text(&job.body),
            text(&job.original),
            job.event,
            job.priority,
            call.attempts.len(),
            call.waiting_for,
        ));
    }
    let (all, start) = (Filter::default(), PageFrom::After(0));
    let letters = outbox.dead_letters(&all, start, 100).await.unwrap();
    let rejects = outbox.rejects(&all, start, 100).await.unwrap();
    let mut kept: Vec<_> = letters
        .iter()
        .map(|letter| {
            (letter.id, format!("{} {} {} {:?}", letter.at, letter.user, letter.code, letter.attempts))
        })
        .chain(
            rejects
                .iter()
                .map(|reject| (reject.id, format!("{} {} {:?}", reject.at, reject.form, reject.original))),
        )
        .collect();
    kept.sort();
    found.extend(kept.into_iter().map(|(_, text)| text));
    found.extend(outbox.kept_values("").await.unwrap().iter().map(|value| format!("{value:?}")));
    for lane in lanes(outbox) {
        found.extend(lane.last_delivered(10).await.unwrap().iter().map(|(print, _)| format!("{print:?}")));
    }
    let groups = outbox.groups().await.unwrap();
    let mut groups: Vec<_> =
        groups.iter().map(|group| format!("{:?} {} {}", group.kind, group.text, group.count)).collect();
    groups.sort();
    found.extend(groups);
    let usage = outbox.usage();
    found.push(format!("{} {:?} {:?}", usage.waiting.rows, usage.dead_letters, usage.rejects));
    found
}

/// Moves it once for each step that can be interrupted, and returns the new outbox of the last time.
async fn killed_at_every_step(from: &Outbox, expected: &[String], make: fn() -> Home) -> (Home, Outbox) {
    for kill_after in 0.. {
        let mut home = make();
        let to = home.open().await;
        let mut moving = Move::begin(from.clone(), to.clone(), NAME, 2).await.unwrap();
        for _ in 0..kill_after {
            moving.step().await.unwrap();
        }
        home.crash();
        let to = home.open().await;
        let is_over = to.unfinished_move().await.unwrap().is_none();
        let mut moving = Move::begin(from.clone(), to.clone(), NAME, 2).await.unwrap();
        while moving.step().await.unwrap() {}
        assert_eq!((moving.moved(), moving.damaged()), (11, 0), "killed after {kill_after} steps");
        drop(moving);
        to.close().await;
        let to = home.open().await;
        assert_eq!(content(&to).await, expected, "killed after {kill_after} steps");
        assert_eq!(to.unfinished_move().await.unwrap(), None);
        if is_over {
            assert!(kill_after > 4, "{kill_after} steps: every one was interrupted");
            return (home, to);
        }
        to.close().await;
    }
    unreachable!("a move ends")
}

#[tokio::test]
async fn everything_arrives_once_and_in_order_wherever_the_move_is_killed() {
    let old = tempfile::tempdir().unwrap();
    let from = filled(old.path()).await;
    let expected = content(&from).await;
    assert_eq!(expected.len(), 7 + 4 + 1 + 1 + 2 + 1, "{expected:#?}");
    killed_at_every_step(&from, &expected, Home::sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_in_a_cluster_and_comes_back_wherever_the_moves_are_killed() {
    let old = tempfile::tempdir().unwrap();
    let from = filled(old.path()).await;
    let expected = content(&from).await;
    let moves = async {
        let (_home, cluster) = killed_at_every_step(&from, &expected, Home::nats).await;
        killed_at_every_step(&cluster, &expected, Home::sqlite).await;
    };
    tokio::time::timeout(3 * LIMIT, moves).await.expect("the moves end");
}

#[tokio::test]
async fn a_parked_call_keeps_its_order_and_its_attempts() {
    let old = tempfile::tempdir().unwrap();
    let from = filled(old.path()).await;
    let folder = tempfile::tempdir().unwrap();
    let to = open(folder.path());
    let mut moving = Move::begin(from.clone(), to.clone(), NAME, 100).await.unwrap();
    while moving.step().await.unwrap() {}
    to.close().await;
    let to = open(folder.path());
    let parked = super::parked_of(&to, "a", vec!["u1".to_owned()]).await;
    assert_eq!(
        parked.iter().map(|row| (&row.job.body[..], row.attempts.len())).collect::<Vec<_>>(),
        [(&b"1"[..], 2)]
    );
    let queued = jobs(&to, "a").await.0;
    assert_eq!(super::bodies(&queued), ["3", "4", "5", "6", "7"]);
    assert!(
        queued
            .iter()
            .filter(|job| job.user.as_str() == "u1")
            .all(|job| job.place.position() > parked[0].job.place.position())
    );
    // All of it can be settled, and nothing is left.
    settle(&to, queued.iter().map(|job| delivered(job.place)).collect());
    settle(&to, jobs(&to, "b").await.0.iter().map(|job| delivered(job.place)).collect());
    settle(&to, vec![delivered(parked[0].job.place)]);
    flush(&to).await;
    assert_eq!(to.usage().waiting.rows, 0);
    to.close().await;
    from.close().await;
}

#[tokio::test]
async fn a_move_is_refused_where_it_would_mix_or_lose_something() {
    let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (from, to) = (filled(old.path()).await, open(new.path()));
    let begin = async |name| Move::begin(from.clone(), to.clone(), name, 2).await.map(drop);
    let job = |kind| NewJob { kind, order: String::new(), up_to: 1, expect: 1, by: String::new() };
    let open_job = from.create_job(job("replay")).await.unwrap();
    assert!(matches!(begin(NAME).await, Err(MoveError::OpenJob { id, .. }) if id == open_job));
    let step = accoil_relay::outbox::JobStep { job: open_job, is_last: true, ..Default::default() };
    from.advance_job(step).await.unwrap();
    to.accept(single(None, "u", "1")).await.unwrap();
    assert!(matches!(begin(NAME).await, Err(MoveError::NotEmpty)));
    settle(&to, jobs(&to, "a").await.0.iter().map(|job| delivered(job.place)).collect());
    flush(&to).await;
    begin(NAME).await.unwrap();
    assert!(matches!(begin("sqlite:/other.db").await, Err(MoveError::Other { from }) if from == NAME));
    assert_eq!(from.numbers(Kind::Reject, &Filter::default(), 0, 10).await.unwrap().len(), 2);
    to.close().await;
    from.close().await;
}

#[tokio::test]
async fn the_command_moves_and_renames_and_no_relay_starts_in_between() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await.close().await;
    let run = |words: &'static str| {
        let mut run = command();
        run.current_dir(folder.path()).args(words.split(' ')).envs([
            ("ACCOIL_API_KEY", "k"),
            ("ACCOIL_RELAY_WRITE_KEY", "w"),
            ("ACCOIL_RELAY_SERVER__LISTEN", "127.0.0.1:0"),
            ("ACCOIL_RELAY_ADMIN__LISTEN", "127.0.0.1:0"),
            ("ACCOIL_RELAY_OUTBOX__URL", "sqlite:half.db"),
        ]);
        async move {
            let output = crate::child::output(run).await;
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        }
    };
    // A move that was interrupted.
    let (from, half) = (open(folder.path()), folder.path().join("half"));
    fs::create_dir(&half).unwrap();
    let to = open(&half);
    Move::begin(from.clone(), to.clone(), NAME, 2).await.unwrap().step().await.unwrap();
    let (code, text) = run("outbox move --from sqlite:relay.db --to sqlite:new.db").await;
    assert!(code == Some(1) && text.contains("another process has it open"), "{text}");
    to.close().await;
    from.close().await;
    fs::rename(half.join("relay.db"), folder.path().join("half.db")).unwrap();
    let (code, text) = run("serve").await;
    assert!(code == Some(1) && text.contains("`accoil-relay outbox move` again"), "{text}");

    let (code, text) = run("outbox move --from sqlite:relay.db --to sqlite:new.db").await;
    assert!(code == Some(0) && text.contains("moved 11 waiting calls"), "{text}");
    assert!(!folder.path().join("relay.db").exists() && folder.path().join("new.db").exists());
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().any(|name| name.to_string_lossy().starts_with("relay.db.moved-")));
    let (code, text) = run("outbox move --from sqlite:relay.db --to sqlite:new.db").await;
    assert!(code == Some(1) && text.contains("the file does not exist"), "{text}");
}
