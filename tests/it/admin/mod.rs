//! The operators' API: what it shows of each event and destination, and what it refuses.

mod conformance;
mod destinations;
mod document;
mod effect;
mod export;
mod failures;
mod outcomes;
mod privacy;
mod tokens;

use http::Method;
use serde_json::Value;

use crate::http::{Answer, send};
use crate::relay::{TEST_TIMEOUT, TestRelay};

pub(crate) fn url(relay: &TestRelay, path: &str) -> String {
    format!("http://{}{path}", relay.relay.admin_address)
}

pub(crate) async fn get(relay: &TestRelay, path: &str) -> Answer {
    send(Method::GET, &url(relay, path), &[], "").await
}

pub(crate) async fn post(relay: &TestRelay, path: &str, body: &str) -> Answer {
    send(Method::POST, &url(relay, path), &[], body.to_owned()).await
}

/// Repeats the request until the condition holds.
pub(crate) async fn until(relay: &TestRelay, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    loop {
        let answer = get(relay, path).await.json();
        if is_so(&answer) {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "{path}: {answer:#}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
