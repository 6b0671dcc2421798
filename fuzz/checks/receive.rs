//! A request from the bytes of a connection to the answer and the calls that an accepted event becomes.

use std::sync::{Mutex, OnceLock, PoisonError};

use accoil_relay::json::Value;
use accoil_relay::outbox::chunk::Job;
use accoil_relay::outbox::{Filter, Kind, Outbox, Position, Settlement};

use super::relay::{DESTINATION, HEAD_END, Listener};

/// Rejects that are kept before they are purged.
const MOST_REJECTS: u64 = 500;

/// Any bytes get an answer that their sender can read, or none. Accepted events become calls that Accoil can accept.
pub(crate) fn receive(bytes: &[u8]) {
    // The listener, and the position up to which was read.
    static LISTENER: OnceLock<Mutex<(Listener, Option<Position>)>> = OnceLock::new();
    let listener = LISTENER.get_or_init(|| Mutex::new((Listener::open(), None)));
    let (listener, cursor) = &mut *listener.lock().unwrap_or_else(PoisonError::into_inner);
    check_answer(&listener.exchange(bytes), bytes.starts_with(b"HEAD "));
    listener.runtime.block_on(async {
        settle(&listener.outbox, cursor).await;
        if listener.outbox.usage().rejects.rows > MOST_REJECTS {
            let ids = listener.outbox.numbers(Kind::Reject, &Filter::default(), 0, 10_000).await;
            listener.outbox.purge(ids.expect("the outbox is read")).await.expect("the outbox is written");
        }
    });
}

fn check_answer(answer: &[u8], is_head: bool) {
    let mut rest = answer;
    while !rest.is_empty() {
        let text = String::from_utf8_lossy(rest).into_owned();
        let Some(end) = rest.windows(4).position(|window| window == HEAD_END) else { return };
        let head = String::from_utf8_lossy(&rest[..end]).to_lowercase();
        let status = head.strip_prefix("http/1.1 ").or_else(|| head.strip_prefix("http/1.0 "));
        let status = status.and_then(|head| head.get(..3)?.parse::<u16>().ok());
        assert!(status.is_some_and(|status| status != 500), "{text}");
        let header = |name: &str| head.split("\r\n").find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length = header("content-length:").map_or(0, |length| length.parse().expect("a length"));
        rest = &rest[end + HEAD_END.len()..];
        if is_head || status == Some(100) {
            return;
        }
        let Some(body) = rest.get(..length) else { return };
        // Amplitude's oldest route, /httpapi, answers this word and not JSON.
        let is_success = body == b"success" && header("content-type:") == Some("text/plain");
        if length > 0 && !is_success {
            assert_eq!(header("content-type:"), Some("application/json"), "{text}");
            let body = std::str::from_utf8(body).expect("an answer is UTF-8");
            assert!(Value::parse(body).expect("an answer is JSON").as_object().is_some(), "{text}");
        }
        rest = &rest[length..];
    }
}

/// Checks what was accepted, and removes it from the outbox.
async fn settle(outbox: &Outbox, cursor: &mut Option<Position>) {
    let lane = outbox.lanes().borrow().owned[0].clone();
    while let Some(chunk) = lane.next_chunk(cursor.unwrap_or(lane.start())).await.expect("the outbox is read")
    {
        *cursor = Some(chunk.position());
        let jobs = chunk.jobs(DESTINATION).expect("the chunk is sound");
        jobs.iter().for_each(check_job);
        let delivered = |job: Job| Settlement::Delivered { place: job.place, fingerprints: Vec::new() };
        lane.settle(jobs.into_iter().map(delivered).collect());
        outbox.flush().await.expect("the outbox is written");
    }
}

fn check_job(job: &Job) {
    let body = std::str::from_utf8(&job.body).expect("a call's body is UTF-8");
    let call = Value::parse(body).expect("a call's body is JSON");
    assert!(["/v2/identify", "/v2/group", "/v2/track"].contains(&job.path.as_str()), "{}", job.path.as_str());
    let has_id = |name| call.get(name).and_then(Value::as_str).is_some_and(|id| !id.trim().is_empty());
    assert!(has_id("userId") || has_id("groupId"), "{body}");
}
