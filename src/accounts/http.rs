//! Makes calls to one API: limits how many run at once and their pace, caps the answers, and retries where that is safe.
//!
//! The clients above decide what a status means. Never follows a redirect.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method};
use reqwest::Url;
use tokio::sync::Semaphore;

use super::pace::{self, Pace};
use crate::deliver;
pub(super) use crate::deliver::Answer;
use crate::http_client::{self, BodyError, BuildError, root_cause};
use crate::proxies::Proxies;

/// Enough for a page of a hundred accounts with large traits.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// The longest pause that an answer can ask for.
const MAX_PAUSE: Duration = Duration::from_secs(3600);
/// The longest wait before a retry, unless a caller sets another.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Why a client cannot be built. Never shows the key.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{url}: not an http or https URL with a host")]
    Url { url: String },
    #[error("the key cannot be put in a header: it has control characters in it")]
    Authorization,
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Why a call has no answer after all safe retries.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("could not connect: {}", root_cause(.0))]
    Connect(#[source] reqwest::Error),
    #[error("no answer in time")]
    Timeout(#[source] reqwest::Error),
    #[error("the connection was lost before the answer was complete: {}", root_cause(.0))]
    Broken(#[source] reqwest::Error),
    #[error("the call was not made: its address is too long (give a shorter id or cursor)")]
    Address,
    /// An earlier answer asked for a pause that is longer than this caller waits.
    #[error("the call was not made: the API asked for a pause, which ends in {} s", .left.as_secs().max(1))]
    Paused { left: Duration },
    #[error("the answer has more than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        match error {
            error if error.is_builder() => Self::Address,
            error if error.is_connect() => Self::Connect(error),
            error if error.is_timeout() => Self::Timeout(error),
            error => Self::Broken(error),
        }
    }
}

impl From<BodyError> for HttpError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => Self::TooLarge,
            BodyError::Broken(error) => error.into(),
        }
    }
}

impl HttpError {
    /// Whether the API or the network failed: another call would fail too.
    pub(super) const fn is_system_failure(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout(_) | Self::Broken(_) | Self::Paused { .. } => true,
            Self::Address | Self::TooLarge => false,
        }
    }

    /// Whether it is certain that the API did not carry out the call.
    pub const fn is_before_sending(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Address | Self::Paused { .. } => true,
            Self::Timeout(_) | Self::Broken(_) | Self::TooLarge => false,
        }
    }
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query after the base URL, percent-encoded.
    pub(super) path: String,
    pub(super) body: Bytes,
    /// Whether the call may safely be carried out twice.
    pub(super) is_idempotent: bool,
}

impl Call {
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: Bytes::new(), is_idempotent: true }
    }
}

/// How long an answer asks the caller to wait.
pub(super) fn retry_after(answer: &Answer) -> Option<Duration> {
    let reset = || if answer.status == 429 { pace::reset(&answer.headers) } else { None };
    deliver::read_retry_after(&answer.headers).or_else(reset)
}

/// Limits, timeouts and retries of the calls to one API.
#[derive(Debug, Clone, Copy)]
pub struct CallSettings {
    /// Calls at once.
    pub concurrency: usize,
    pub connect_timeout: Duration,
    /// Time limit of one call, from connecting to the end of the answer.
    pub timeout: Duration,
    /// The wait before the first retry. It doubles with each retry.
    pub retry_initial: Duration,
    pub retry_max: Duration,
    pub max_retries: usize,
    /// The sum of all waits before retries.
    pub max_retry_time: Duration,
}

impl Default for CallSettings {
    fn default() -> Self {
        Self {
            concurrency: 8,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            retry_initial: Duration::from_millis(500),
            retry_max: MAX_WAIT,
            max_retries: 5,
            max_retry_time: MAX_WAIT * 5,
        }
    }
}

impl CallSettings {
    pub(super) fn backoff(&self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.retry_initial)
            .with_max_delay(self.retry_max)
            .with_max_times(self.max_retries)
            .with_total_delay(Some(self.max_retry_time))
            .with_jitter()
    }
}

/// One API's address, connections and pace.
#[derive(Debug)]
pub(super) struct Caller {
    client: reqwest::Client,
    base_url: String,
    settings: CallSettings,
    permits: Semaphore,
    pace: Pace,
    max_wait: Duration,
}

/// An outcome after which the call may be retried.
struct Failed {
    outcome: Result<Answer, HttpError>,
    is_rate_limited: bool,
    requested_wait: Duration,
}

impl Caller {
    pub(super) fn new(
        base_url: &str,
        authorization: &str,
        pace: Pace,
        settings: CallSettings,
        proxies: &Proxies,
    ) -> Result<Self, ClientError> {
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if !Url::parse(base_url).is_ok_and(|url| is_http(&url)) {
            return Err(ClientError::Url { url: base_url.to_owned() });
        }
        let mut authorization =
            HeaderValue::from_str(authorization).map_err(|_| ClientError::Authorization)?;
        authorization.set_sensitive(true);
        let json = HeaderValue::from_static("application/json");
        let client = http_client::builder(proxies)?
            .default_headers([(AUTHORIZATION, authorization), (CONTENT_TYPE, json)].into_iter().collect())
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .build()
            .map_err(BuildError::from)?;
        let permits = Semaphore::new(settings.concurrency);
        let base_url = base_url.trim_end_matches('/').to_owned();
        Ok(Self { client, base_url, settings, permits, pace, max_wait: MAX_WAIT })
    }

    /// For a command that a person waits for: if a retry or a pause would take longer, the call returns at once instead.
    #[must_use]
    pub(super) const fn with_max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// Makes the call. Returns the last answer, whatever its status.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, HttpError> {
        let answer = (|| self.try_once(&call))
            .retry(self.settings.backoff())
            .adjust(|failed, wait| {
                let wait = wait.map(|wait| wait.max(failed.requested_wait));
                if failed.is_rate_limited {
                    // A 429 limits all calls and not only this one.
                    self.pace.pause(wait.unwrap_or(failed.requested_wait).min(MAX_PAUSE));
                }
                wait.filter(|wait| *wait <= self.max_wait)
            })
            .await;
        answer.unwrap_or_else(|failed| failed.outcome)
    }

    /// Makes one attempt. Returns its outcome as an error if the call may be retried.
    async fn try_once(&self, call: &Call) -> Result<Result<Answer, HttpError>, Failed> {
        let _permit = self.permits.acquire().await;
        if let Err(left) = self.pace.wait_for_turn(self.max_wait).await {
            return Ok(Err(HttpError::Paused { left }));
        }
        let outcome = self.exchange(call).await;
        let mut requested_wait = Duration::ZERO;
        if let Ok(answer) = &outcome {
            self.pace.learn(&answer.headers);
            requested_wait = retry_after(answer).unwrap_or_default();
        }
        let is_rate_limited = matches!(&outcome, Ok(answer) if answer.status == 429);
        if is_rate_limited || is_retryable(call, &outcome) {
            return Err(Failed { outcome, is_rate_limited, requested_wait });
        }
        Ok(outcome)
    }

    async fn exchange(&self, call: &Call) -> Result<Answer, HttpError> {
        let url = format!("{}{}", self.base_url, call.path);
        let request = self.client.request(call.method.clone(), url).body(call.body.clone());
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = http_client::read_body(response, MAX_ANSWER_BYTES).await?;
        Ok(Answer { status, headers, body })
    }
}

/// Whether the call may be retried after an outcome other than 429.
fn is_retryable(call: &Call, outcome: &Result<Answer, HttpError>) -> bool {
    match outcome {
        Ok(answer) => call.is_idempotent && is_transient(answer.status),
        Err(HttpError::Timeout(_) | HttpError::Broken(_)) => call.is_idempotent,
        Err(HttpError::Connect(_)) => true,
        Err(HttpError::Address | HttpError::Paused { .. } | HttpError::TooLarge) => false,
    }
}

/// Whether a retry may get a better answer.
const fn is_transient(status: u16) -> bool {
    status == 408 || (status >= 500 && status != 501 && status != 505)
}
