//! HTTP helpers for every route of the sandbox: it reads bodies up to a limit and answers in JSON.

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderValue, StatusCode};
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("the body has more than {limit} bytes; send a smaller one")]
    TooLarge { limit: usize },
    #[error("the body broke off; send it again")]
    Broken(#[source] axum::BoxError),
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, ReadError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ReadError::TooLarge { limit }),
        Err(error) => Err(ReadError::Broken(error)),
    }
}

/// Returns an answer with a JSON body.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let mut response = (status, bytes).into_response();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Returns an error as `{"message": …}`, the only form of an error body known from Accoil
/// (`docs/accoil-api.md#what-accoil-answers`).
pub(super) fn message(status: StatusCode, text: &str) -> Response {
    json(status, &serde_json::json!({ "message": text }))
}
