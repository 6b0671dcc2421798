//! One kept-alive HTTP/1.1 connection, driven by the task that uses it: no pool, no lock, no second task.
//!
//! Only the first part of an answer's body is read. Redirects are never followed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;

use super::connector::BoxError;
use super::dial;
use super::endpoint::Endpoint;
use crate::reasons::Reason;

/// The most bytes of an answer's body that are read; a longer one ends the connection.
const MAX_ANSWER_BYTES: usize = 2048;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// The beginning of the body.
    pub body: Bytes,
}

/// Why there is no answer, or only a part of one. Each may be temporary.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("its name could not be resolved: {0}")]
    Resolve(io::Error),
    #[error("could not connect: {0}")]
    Connect(io::Error),
    #[error("could not connect in time")]
    ConnectTimeout,
    #[error("the proxy did not connect: {}", dial::innermost(&**.0))]
    Proxy(#[source] BoxError),
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    #[error("the relay stood still, and so the call was not made in time")]
    TooLate,
    #[error("no answer in time")]
    HeadersTimeout,
    #[error("the answer did not end in time")]
    BodyTimeout,
    #[error("the connection was reset")]
    Reset(#[source] hyper::Error),
    #[error("the connection was closed before the answer ended")]
    Closed(#[source] hyper::Error),
    #[error("the answer is not HTTP: {0}")]
    Unreadable(#[source] hyper::Error),
}

impl CallError {
    /// Returns the reason code.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Resolve(_) => Reason::WaitName,
            Self::Connect(_) | Self::ConnectTimeout | Self::Proxy(_) => Reason::WaitConnect,
            Self::Tls(_) => Reason::WaitTls,
            Self::TooLate | Self::HeadersTimeout | Self::BodyTimeout => Reason::WaitTimeout,
            Self::Reset(_) | Self::Closed(_) | Self::Unreadable(_) => Reason::WaitReset,
        }
    }

    /// The other side exists but is too slow.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::HeadersTimeout | Self::BodyTimeout)
    }
}

impl From<hyper::Error> for CallError {
    fn from(error: hyper::Error) -> Self {
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>());
        match cause.map(io::Error::kind) {
            None if error.is_parse() => Self::Unreadable(error),
            // hyper's own errors for invalid chunks.
            Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => Self::Unreadable(error),
            None | Some(io::ErrorKind::UnexpectedEof) => Self::Closed(error),
            Some(_) => Self::Reset(error),
        }
    }
}

pub(super) type Driver = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// An open connection; the driver moves its bytes.
pub(super) struct Open {
    pub(super) sender: http1::SendRequest<Full<Bytes>>,
    pub(super) driver: Driver,
}

/// A connection to an endpoint. It opens at the first call, and again after it was closed.
pub(super) struct Connection {
    endpoint: Arc<Endpoint>,
    open: Option<Open>,
    /// True if the current call's answer has begun.
    answering: bool,
}

impl Connection {
    pub(super) const fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, open: None, answering: false }
    }

    /// Posts a body. Only connecting has a time limit. If the future is dropped before it ends,
    /// [`Connection::give_up`] must follow.
    pub(super) async fn call(&mut self, path: &str, body: Bytes) -> Result<Answer, CallError> {
        self.answering = false;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.uri(path).unwrap_or_default();
        request.headers_mut().clone_from(self.endpoint.headers(path));
        // The other side may just have closed a kept-alive connection. A request of which nothing was sent is sent on
        // a new one.
        if let Some(open) = self.open.take() {
            match self.exchange(open, request).await {
                Err(Failed { request: Some(unsent), .. }) => request = unsent,
                Err(Failed { error, .. }) => return Err(error.into()),
                Ok(answer) => return Ok(answer),
            }
        }
        let open = self.endpoint.open().await?;
        self.exchange(open, request).await.map_err(|failed| failed.error.into())
    }

    /// Returns when the other side closes an idle connection; never returns if none is open.
    pub(super) async fn closed(&mut self) {
        match &mut self.open {
            Some(open) => {
                let _ = open.driver.as_mut().await;
                self.open = None;
            }
            None => std::future::pending().await,
        }
    }

    /// Closes the connection because its call took too long, and returns what the call waited for.
    pub(super) fn give_up(&mut self) -> CallError {
        self.open = None;
        if self.answering { CallError::BodyTimeout } else { CallError::HeadersTimeout }
    }

    /// Makes one request and reads its answer. Keeps the connection if it can be used again.
    async fn exchange(&mut self, mut open: Open, request: Request<Full<Bytes>>) -> Result<Answer, Failed> {
        let response = {
            let mut sent = std::pin::pin!(open.sender.try_send_request(request));
            // The driver moves the bytes; the request reports the end of the connection too.
            tokio::select! {
                biased;
                response = &mut sent => response,
                _ = &mut open.driver => sent.await,
            }
        };
        let response = response
            .map_err(|mut error| Failed { request: error.take_message(), error: error.into_error() })?;
        self.answering = true;
        let (answer, reusable) = read(response, &mut open.driver).await?;
        if reusable && drive_until_ready(&mut open).await {
            self.open = Some(open);
        }
        Ok(answer)
    }
}

/// A failed exchange, with its request if it was never begun.
struct Failed {
    error: hyper::Error,
    request: Option<Request<Full<Bytes>>>,
}

impl From<hyper::Error> for Failed {
    fn from(error: hyper::Error) -> Self {
        Self { error, request: None }
    }
}

/// Reads the answer's body up to the limit; returns false if the connection cannot be used again.
async fn read(response: Response<Incoming>, driver: &mut Driver) -> Result<(Answer, bool), hyper::Error> {
    let (parts, mut incoming) = response.into_parts();
    let mut body = BytesMut::new();
    let mut is_whole = true;
    let mut driving = true;
    loop {
        let frame = tokio::select! {
            biased;
            frame = incoming.frame() => frame,
            _ = &mut *driver, if driving => { driving = false; continue }
        };
        let Some(frame) = frame else { break };
        if let Ok(data) = frame?.into_data() {
            let room = MAX_ANSWER_BYTES - body.len();
            body.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
            if data.len() > room {
                is_whole = false;
                break;
            }
        }
    }
    let (status, headers) = (parts.status.as_u16(), parts.headers);
    Ok((Answer { status, headers, body: body.freeze() }, is_whole && driving))
}

/// Drives the connection until it is known whether it accepts another request.
async fn drive_until_ready(open: &mut Open) -> bool {
    tokio::select! {
        biased;
        ready = open.sender.ready() => ready.is_ok(),
        _ = &mut open.driver => false,
    }
}
