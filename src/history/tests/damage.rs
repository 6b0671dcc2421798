//! Damaged files: what can be read is read, what cannot is reported, and a file that is no database is moved aside.

use super::*;

async fn written() -> (History, Vec<EventId>) {
    let mut history = History::start(|_| {});
    let ids: Vec<EventId> = (0..300).map(id).collect();
    for (round, ids) in ids.chunks(100).enumerate() {
        let accepted = ids.iter().map(|id| accepted(*id, "u1", &format!("m{}", id.0)));
        history.facts.received(&Received::new(&Submission { accepted: accepted.collect(), ..post() }));
        history.wait_for_events((round as u64 + 1) * 100);
        history = history.again().await;
    }
    history.stop().await;
    (history, ids)
}

#[tokio::test]
async fn flipped_bytes_in_a_block_cost_that_block_and_are_reported() {
    let (history, ids) = written().await;
    let connection = rusqlite::Connection::open(history.path()).unwrap();
    let mut body: Vec<u8> = connection
        .query_row("SELECT body FROM parts WHERE id % 4 = 0 LIMIT 1", [], |row| row.get(0))
        .unwrap();
    let middle = body.len() / 2;
    body[middle] ^= 0x55;
    connection.execute("UPDATE parts SET body = ?1 WHERE id = (SELECT min(id) FROM parts)", [body]).unwrap();
    drop(connection);
    let history = history.again().await;
    let page = history.page(&Filter::default());
    assert_eq!((page.lines.len(), page.unreadable_blocks), (200, 1));
    let event = history.reader.event(ids[250], Show::Whole).unwrap().unwrap();
    assert_eq!(event.records.len(), 1);
    assert!(history.reader.event(ids[50], Show::Whole).unwrap().is_none());
}

/// Whatever is damaged, the relay starts, and no question panics.
#[tokio::test]
async fn flipped_bytes_anywhere_in_the_file_are_survived() {
    let (history, ids) = written().await;
    let whole = std::fs::read(history.path()).unwrap();
    let mut history = history;
    for place in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        for byte in damaged.iter_mut().skip(place).take(64) {
            *byte ^= 0xff;
        }
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{ending}", history.path().display()));
        }
        std::fs::write(history.path(), damaged).unwrap();
        let (facts, inbox) = Facts::channel();
        let tasks = Tasks::new(&CancellationToken::new());
        let started = start(history.options.clone(), inbox, Box::new(|_| {}), &tasks);
        // A damaged head can look like a file of another program; the error says which file.
        let Ok(reader) = started else { continue };
        let newest = EventId(ids[299].0 + 1 + place as u64);
        track(&facts, newest, "u2", "new");
        let _ = reader.search(&Filter::default(), None, 1000);
        let _ = reader.event(ids[50], Show::Whole);
        let _ = reader.state();
        wait_for(|| reader.event(newest, Show::Whole).ok().flatten());
        assert!(tasks.stop(Duration::from_secs(20)).await, "a damaged file stops the thread");
        (history.facts, history.reader, history.tasks) = (facts, reader, tasks);
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_moved_aside_and_begun_anew() {
    let (history, ids) = written().await;
    let mut whole = std::fs::read(history.path()).unwrap();
    let half = whole.len() / 2;
    whole.truncate(half);
    std::fs::write(history.path(), whole).unwrap();
    let history = history.again().await;
    assert!(history.reader.event(ids[1], Show::Whole).unwrap().is_none());
    track(&history.facts, ids[1], "u1", "m1");
    history.line(ids[1], Status::Accepted);
    let names = std::fs::read_dir(history.folder.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.contains(".damaged-")), "{names:?}");
}

#[tokio::test]
async fn a_file_is_recorded_by_one_relay_and_never_one_of_another_program() {
    let history = History::start(|_| {});
    let again = |options: Options| {
        let (_, inbox) = Facts::channel();
        start(options, inbox, Box::new(|_| {}), &Tasks::new(&CancellationToken::new()))
    };
    assert!(matches!(again(history.options.clone()), Err(OpenError::InUse { .. })));
    let path = history.folder.path().join("other.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE mine (id INTEGER)").unwrap();
    drop(other);
    let opened = again(Options { path: path.clone(), ..history.options.clone() });
    assert!(matches!(opened, Err(OpenError::Foreign { .. })));
    assert!(path.exists());
}
