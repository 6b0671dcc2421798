//! A server that gives a test's answers, one after the other, and records the requests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use accoil_relay::accounts::vitally::Client;
use accoil_relay::proxies::Proxies;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) const TOKEN: &str = "sk_live_hush";

/// Status, headers and body of one answer.
pub(crate) type Reply = (u16, Vec<(&'static str, &'static str)>, String);

pub(crate) fn reply(status: u16, body: impl Into<String>) -> Reply {
    (status, vec![("content-type", "application/json")], body.into())
}

/// The server; it stops when dropped.
pub(crate) struct CannedServer {
    pub(crate) url: String,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    answers: Mutex<VecDeque<Reply>>,
    /// Method and target, authorization, body.
    asked: Mutex<Vec<(String, String, String)>>,
}

impl State {
    fn answer(&self, asked: (String, String, String)) -> Response {
        self.asked.lock().unwrap().push(asked);
        let next = self.answers.lock().unwrap().pop_front();
        let (status, headers, body) =
            next.unwrap_or_else(|| reply(418, r#"{"error":"nothing is left to say"}"#));
        let mut response = (axum::http::StatusCode::from_u16(status).unwrap(), body).into_response();
        for (name, value) in headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }
}

impl CannedServer {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Reply>) -> Self {
        let state =
            Arc::new(State { answers: Mutex::new(answers.into_iter().collect()), ..State::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&state);
        let answer = async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let authorization = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
            let body = String::from_utf8(body.into()).unwrap();
            shared.answer((format!("{method} {uri}"), authorization.to_owned(), body))
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
        Self { url, state, _tasks: tasks }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url, &TOKEN.into(), &Proxies::default()).unwrap()
    }

    /// Returns the method and target of every request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().iter().map(|(target, _, _)| target.clone()).collect()
    }

    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().iter().map(|(_, authorization, _)| authorization.clone()).collect()
    }

    /// Returns the body of the last request.
    pub(crate) fn body(&self) -> Value {
        let asked = self.state.asked.lock().unwrap();
        serde_json::from_str(&asked.last().unwrap().2).unwrap()
    }
}
