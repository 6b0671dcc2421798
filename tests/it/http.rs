//! A small HTTP/1.1 client for tests: one request on one connection, every read limited.
//!
//! It stays close to the wire: no redirects, no decompression, and no headers except `Host`, `Content-Length` and
//! those of the test.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The largest answer that it reads.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;
/// A safety limit: a server that hangs fails the test instead of blocking it.
const TIME_LIMIT: Duration = Duration::from_secs(30);

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the answer is UTF-8")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("the answer is not JSON: {error}: {self:?}"))
    }

    /// Returns a header's text; empty if the header is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("the header is text"))
    }
}

/// Sends one request whose answer takes long.
pub(crate) async fn send_within(limit: Duration, method: Method, url: &str, body: String) -> Answer {
    let answer = tokio::time::timeout(limit, exchange(method, url.parse().unwrap(), &[], body.into()));
    let answer = answer.await.unwrap_or_else(|_| panic!("{url} got no answer within {limit:?}"));
    answer.unwrap_or_else(|error| panic!("{url} got no answer: {error}"))
}

/// Sends one request and reads the whole answer. Fails the test if there is none.
pub(crate) async fn send(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    match try_send(method.clone(), url, headers, body).await {
        Ok(answer) => answer,
        Err(error) => panic!("{method} {url} got no answer: {error}"),
    }
}

/// Sends one request to a server that is expected to fail.
pub(crate) async fn try_send(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Answer, Failure> {
    tokio::time::timeout(TIME_LIMIT, exchange(method, url.parse()?, headers, body.into())).await?
}

async fn exchange(
    method: Method,
    url: Uri,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Answer, Failure> {
    let authority = url.authority().ok_or("the URL has no host")?.as_str();
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;

    let target = url.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::builder().method(method).uri(target);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", authority);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body))?;

    let answer = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
        // The sender is dropped here, which ends the connection too.
    };
    // Once the answer is complete, it does not matter how the connection ends.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}
