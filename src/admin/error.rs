//! The answer of a route that cannot do what was asked: `{"error", "code"}`, with what to do in the text.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::outbox::{ChangeError, ReadError};
use crate::receive;

/// A refusal by a route: its status, a stable code, and a sentence with advice.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub error: String,
    /// When the client may ask again.
    pub retry_after: Option<Duration>,
    /// Further members of the answer, for codes that have some.
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// The answer's body.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorBody {
    /// What happened and what to do.
    pub error: String,
    /// A stable word for programs.
    pub code: String,
    #[serde(flatten)]
    #[schema(additional_properties)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, error: impl Into<String>) -> Self {
        Self { status, code, error: error.into(), retry_after: None, more: serde_json::Map::new() }
    }

    /// A parameter has a value that cannot be used.
    pub fn invalid(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", error)
    }

    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", error)
    }

    pub fn conflict(code: &'static str, error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, error)
    }

    /// The outbox could not be read or changed.
    pub fn outbox(error: &dyn std::error::Error) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "outbox_failed", error.to_string())
    }

    /// A fault of the relay itself.
    pub fn failed() -> Self {
        let error = "the relay failed on this request; see its log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", error)
    }

    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Self::outbox(&error)
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        Self::outbox(&error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, error, retry_after, more } = self;
        let body = ErrorBody { error, code: code.to_owned(), more };
        let mut response = receive::json(status, &serde_json::to_value(body).unwrap_or_default());
        if let Some(wait) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}
