//! The file stays within its bounds, and what leaves it is in the archive.

use std::collections::HashSet;

use super::*;

/// Returns the events of all frames. A place leads to the same events again.
fn read_archive(
    folder: &std::path::Path,
    from: chrono::DateTime<Utc>,
    to: chrono::DateTime<Utc>,
) -> Vec<archive::ArchivedEvent> {
    let mut all = Vec::new();
    for frame in archive::frames(folder, Some(from), Some(to)).unwrap() {
        let (place, events) = frame.unwrap();
        assert_eq!(archive::load(folder, place).unwrap(), events);
        all.extend(events);
    }
    all
}

/// Not to be packed well.
fn noise(number: u64) -> String {
    let hex = |part: u64| {
        format!(
            "{:032x}",
            (u128::from(number) << 64 | u128::from(part))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        )
    };
    (0..30).map(hex).collect()
}

#[tokio::test]
async fn the_file_stays_within_its_size_and_the_archive_has_what_left() {
    const MAX: u64 = 4 << 20;
    const EVENTS: u64 = 20_000;
    let archive = tempfile::tempdir().unwrap();
    let history = History::start(|options| {
        options.max_bytes = MAX;
        options.archive = Some(archive.path().to_owned());
    });
    let first = id(0).0;
    let size = |ending: &str| {
        std::fs::metadata(format!("{}{ending}", history.path().display())).map_or(0, |file| file.len())
    };
    for batch in (0..EVENTS).step_by(200) {
        let accepted = (batch..batch + 200).map(|number| {
            let mut accepted =
                accepted(EventId(first + number), &format!("u{number}"), &format!("m{number}"));
            accepted.requests[0].body = noise(number).into_bytes();
            accepted
        });
        let accepted: Vec<_> = accepted.collect();
        let outcomes: Vec<_> =
            accepted.iter().map(|one| outcome(one.event, OutcomeKind::Delivered, "")).collect();
        history.facts.received(&Received::new(&Submission { accepted, ..post() }));
        settle(&history.facts, outcomes);
        // A sender that does not wait would overtake the history on a slow machine, which then leaves out payloads.
        wait_for(|| history.reader.event(EventId(first + batch + 199), Show::Whole).unwrap());
        let bytes = size("") + size("-wal");
        assert!(bytes <= MAX + MAX / 20, "the file has {bytes} bytes after {batch} events");
    }
    history.stop().await;
    assert!(size("") + size("-wal") <= MAX + MAX / 20);
    assert_eq!(history.facts.left_out(), crate::facts::LeftOutCounts::default());

    let kept = {
        let (mut kept, mut before) = (HashSet::new(), None);
        loop {
            let page = Reader::of_file(history.path(), Redactor::default())
                .search(&Filter::default(), before, 5000)
                .unwrap();
            kept.extend(page.lines.iter().map(|line| line.id));
            before = page.next;
            if before.is_none() {
                break kept;
            }
        }
    };
    let (from, to) = (Utc::now() - Duration::from_secs(7200), Utc::now() + Duration::from_secs(3600));
    let archived = read_archive(archive.path(), from, to);
    assert!(!kept.is_empty() && !archived.is_empty(), "{} kept, {} archived", kept.len(), archived.len());
    assert_eq!(archived[0].original, String::from_utf8(original("u0", "m0").to_vec()).unwrap());
    assert_eq!((&*archived[0].source, &*archived[0].form), ("web", Form::SegmentBatch.name()));
    assert_eq!(archived[0].status, Some(Status::Delivered));
    let ids: HashSet<_> = archived.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), archived.len(), "an event is in the archive twice");
    let all: HashSet<_> = ids.union(&kept).copied().collect();
    assert_eq!(all.len() as u64, EVENTS, "an event is in neither");
    assert!(ids.is_disjoint(&kept));
}

#[tokio::test]
async fn what_is_too_old_leaves() {
    let history = History::start(|_| {});
    let old = EventId(((Utc::now().timestamp_millis() - 8 * 24 * 3_600_000).cast_unsigned()) << 22);
    let mut submission = Submission { accepted: vec![accepted(old, "u1", "m1")], ..post() };
    submission.received_at = old.time();
    history.facts.received(&Received::new(&submission));
    history.line(old, Status::Accepted);
    let history = history.again().await;
    wait_for(|| history.reader.event(old, Show::Whole).unwrap().is_none().then_some(()));
}

/// Lines are kept of every event, payloads only of some.
#[tokio::test]
async fn payloads_beyond_the_rate_are_left_out_and_counted() {
    let history = History::start(|options| options.payload_rate = 10_000);
    let first = id(0).0;
    for number in 0..1000 {
        track(&history.facts, EventId(first + number), "u1", "m");
    }
    history.wait_for_events(1000);
    let state = history.reader.state().unwrap();
    assert_eq!(state.events, 1000);
    assert!((10..500).contains(&state.payloads), "{}", state.payloads);
}

/// Killed after a block was appended to the archive, in part or as a whole, and before it had left the history.
#[tokio::test]
async fn a_kill_while_a_block_leaves_neither_doubles_nor_breaks_the_archive() {
    let mut history = History::start(|_| {});
    let old = EventId(((Utc::now().timestamp_millis() - 8 * 24 * 3_600_000).cast_unsigned()) << 22);
    let mut submission = Submission { accepted: vec![accepted(old, "u1", "m1")], ..post() };
    submission.received_at = old.time();
    history.facts.received(&Received::new(&submission));
    history.line(old, Status::Accepted);
    history.stop().await;

    let archive = tempfile::tempdir().unwrap();
    let name = old.time().format("events-%Y-%m-%dT%H.ndjson.zst").to_string();
    std::fs::write(archive.path().join(&name), b"the half of a frame").unwrap();
    let connection = rusqlite::Connection::open(history.path()).unwrap();
    let block: i64 = connection.query_row("SELECT min(id) FROM blocks", [], |row| row.get(0)).unwrap();
    let before = serde_json::json!({"block": block, "lengths": [[name, 0]]}).to_string().into_bytes();
    connection.execute("INSERT INTO state VALUES ('archiving', ?1)", [before]).unwrap();
    drop(connection);
    history.options.archive = Some(archive.path().to_owned());
    let history = history.again().await;
    wait_for(|| history.reader.event(old, Show::Whole).unwrap().is_none().then_some(()));
    let (from, to) = (old.time() - Duration::from_secs(1), old.time() + Duration::from_secs(1));
    let archived: Vec<_> = read_archive(archive.path(), from, to).iter().map(|event| event.id).collect();
    assert_eq!(archived, [old]);
}
