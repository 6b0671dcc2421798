//! The history in a real relay: what it records, and that no failure of it affects the senders.

mod hostile;
mod outcomes;
mod survives;
mod versions;

use std::path::Path;
use std::time::{Duration, Instant};

use accoil_relay::event_id::EventId;
use accoil_relay::history::{Event, Filter, Line, Reader, Redactor, Show, Status};

use crate::http::Answer;
use crate::relay::{TEST_TIMEOUT, TestRelay, USUAL};

/// Repeats until there is an answer. The time limit only keeps the test from waiting without end.
async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TEST_TIMEOUT;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the event after it has this status.
async fn recorded(reader: &Reader, id: EventId, status: Status) -> Event {
    until(&format!("{id} is not {status:?}"), || {
        let event = reader.event(id, Show::Whole).ok().flatten()?;
        (event.records[0].line.status() == status).then_some(event)
    })
    .await
}

fn line(event: &Event) -> &Line {
    &event.records[0].line
}

/// The id by which the sender's own event is found.
fn id_of(answer: &Answer) -> EventId {
    answer.header("relay-event").parse().unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn track(user: &str, message_id: &str) -> String {
    serde_json::json!({
        "type": "track", "event": "Signed Up", "userId": user, "messageId": message_id, "writeKey": "web-key",
        "properties": {"plan": "pro"},
    })
    .to_string()
}

async fn post(relay: &TestRelay, body: &str) -> EventId {
    id_of(&relay.post("/v1/track", &[], body.to_owned()).await)
}

fn of_file(folder: &Path) -> Reader {
    Reader::of_file(folder.join("relay.db.history"), Redactor::default())
}

fn by(change: impl FnOnce(&mut Filter)) -> Filter {
    let mut filter = Filter::default();
    change(&mut filter);
    filter
}

fn found(reader: &Reader, filter: &Filter) -> Vec<EventId> {
    reader.search(filter, None, 100).unwrap().lines.iter().map(|line| line.id).collect()
}

fn with(sections: &str) -> String {
    format!("{USUAL}{sections}")
}
