//! The operators' API: what it shows of each event and destination, and what it refuses.

mod document;
mod tokens;

use http::Method;

use crate::http::{Answer, send};
use crate::relay::TestRelay;

pub(crate) fn url(relay: &TestRelay, path: &str) -> String {
    format!("http://{}{path}", relay.relay.admin_address)
}

pub(crate) async fn get(relay: &TestRelay, path: &str) -> Answer {
    send(Method::GET, &url(relay, path), &[], "").await
}

pub(crate) async fn post(relay: &TestRelay, path: &str, body: &str) -> Answer {
    send(Method::POST, &url(relay, path), &[], body.to_owned()).await
}
