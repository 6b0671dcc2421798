//! What `[privacy]` names is never shown, and with `payloads = "redacted"` it is never written.

use super::*;

fn files_of(history: &History) -> Vec<u8> {
    let files = std::fs::read_dir(history.folder.path()).unwrap();
    let mut bytes: Vec<u8> = files.flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    let connection = rusqlite::Connection::open(history.path()).unwrap();
    let mut statement = connection.prepare("SELECT body FROM parts").unwrap();
    let packed = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    bytes.extend(packed.flat_map(|part| zstd::bulk::decompress(&part.unwrap(), 16 << 20).unwrap()));
    bytes
}

fn has(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[tokio::test]
async fn redacted_values_are_not_written() {
    let history = History::start(|options| {
        options.payloads = Payloads::Redacted;
        options.redactor = Redactor::new(["traits.email", "userId"]);
    });
    let event = id(1);
    track(&history.facts, event, "secret-user", "m1");
    settle(&history.facts, [outcome(event, OutcomeKind::Waits, "secret-user@example.com is no address")]);
    history.line(event, Status::Waiting);
    let found = |history: &History| {
        history.find(&Filter { user: Some("secret-user".to_owned()), ..Filter::default() })
    };
    assert_eq!(found(&history), [event], "a search by the id finds it all the same");
    let history = history.again().await;
    settle(&history.facts, [outcome(event, OutcomeKind::Dead, "secret-user@example.com is unknown")]);
    history.line(event, Status::Dead);
    assert_eq!(found(&history), [event]);
    history.stop().await;
    let bytes = files_of(&history);
    assert!(has(&bytes, "Signed Up") && !has(&bytes, "secret-user"));
}

#[tokio::test]
async fn whole_payloads_are_shown_without_what_is_hidden_and_not_found_by_it() {
    let history = History::start(|options| options.redactor = Redactor::new(["traits.email"]));
    let event = id(1);
    track(&history.facts, event, "u1", "m1");
    history.line(event, Status::Accepted);
    let history = history.again().await;
    let shown = |show| history.reader.event(event, show).unwrap().unwrap().records.remove(0).payload.unwrap();
    assert!(shown(Show::Whole).bodies[0].contains("u1@example.com"));
    let hidden = shown(Show::Hidden);
    assert!(
        !hidden.original.contains("@example.com") && !hidden.bodies[0].contains("@example.com"),
        "{hidden:?}"
    );
    for (text, count) in [("u1@example.com", 0), ("Signed Up", 1), ("\"userId\"", 1)] {
        let found = history.find(&Filter { text: Some(text.to_owned()), ..Filter::default() });
        assert_eq!(found.len(), count, "{text}");
    }
}

#[tokio::test]
async fn hashed_users_are_found_by_their_id() {
    let history = History::start(|options| options.hash_users = true);
    track(&history.facts, id(1), "u1", "m1");
    let line = history.line(id_of(&history), Status::Accepted);
    assert!(line.user().starts_with('#') && line.user().len() == 13, "{}", line.user());
    let history = history.again().await;
    for user in ["u1", line.user()] {
        assert_eq!(history.find(&Filter { user: Some(user.to_owned()), ..Filter::default() }), [line.id]);
    }
}

fn id_of(history: &History) -> EventId {
    wait_for(|| history.find(&Filter::default()).first().copied())
}

#[tokio::test]
async fn without_payloads_only_lines_are_kept() {
    let history = History::start(|options| options.payloads = Payloads::None);
    let event = id(1);
    track(&history.facts, event, "u1", "m1");
    assert!(!history.line(event, Status::Accepted).has_payload);
    history.stop().await;
    assert!(!has(&files_of(&history), "u1@example.com"));
}
