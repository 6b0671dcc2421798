//! Why a call to Vitally's API failed, and what the user can do about it.
//!
//! Vitally's own text is kept, without control characters and without the secret, which a proxy might echo.

use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::accounts::answer::{excerpt, short, when};
use crate::accounts::http::{self, Answer, HttpError};

#[derive(Debug, thiserror::Error)]
pub enum VitallyError {
    /// No call is made.
    #[error("this is no usable account or organization id: it {0}")]
    BadId(&'static str),
    #[error("Vitally rejected the request ({status}{}): correct it", detail(.message))]
    BadRequest { status: u16, message: String },
    #[error(
        "Vitally refuses the secret ({status}{}): copy the Secret Token or the Basic Auth Header from Vitally under \
         Settings > Integrations > Vitally REST API and set it as vitally.secret; the Analytics API has another token, \
         which does not work here. Check vitally.subdomain or region too",
        detail(.message)
    )]
    Refused { status: u16, message: String },
    #[error("Vitally has no account or organization with this id ({status}{}): give its Vitally id or its externalId", detail(.message))]
    NotFound { status: u16, message: String },
    /// A create found an existing account.
    #[error("an account with this externalId exists already: change it with update")]
    Conflict,
    /// After several attempts, each after the wait that Vitally asked for.
    #[error("Vitally accepts no more calls at the moment (429{}): try again {}", detail(.message), when(*.retry_after))]
    RateLimited { message: String, retry_after: Option<Duration> },
    /// After several attempts.
    #[error("Vitally is failing at the moment ({status}{}): try again later", detail(.message))]
    Unavailable { status: u16, message: String },
    #[error("Vitally answered {status}{}, which is not documented: check vitally.subdomain or base_url", detail(.message))]
    Unexpected { status: u16, message: String },
    /// For example a proxy's page.
    #[error(
        "Vitally's address answered {status}, but not with JSON: check the address, and that no proxy answers in its place. The answer begins: {excerpt}"
    )]
    NotJson { status: u16, excerpt: String },
    #[error("Vitally answered with JSON that is not as documented: {0}")]
    Shape(&'static str),
    #[error(
        "Vitally returned the same page cursor twice, so the list would never end; the accounts read so far are not all"
    )]
    RepeatedCursor,
    #[error("Vitally returned an empty page that is not the last; the accounts read so far may not be all")]
    EmptyPage,
    #[error(
        "Vitally's list has more than {0} pages, so something is wrong with it; the accounts read so far are not all"
    )]
    TooManyPages(u32),
    #[error("Vitally could not be reached: {0}; check the address")]
    Http(HttpError),
}

/// Without a `source`: its text is part of the message and would be printed twice.
impl From<HttpError> for VitallyError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Paused { left } => {
                Self::RateLimited { message: String::new(), retry_after: Some(left) }
            }
            error => Self::Http(error),
        }
    }
}

impl VitallyError {
    /// Whether every call fails until the secret or the address is corrected. A 403 may concern one account only, or come
    /// from a proxy.
    pub const fn is_refused_secret(&self) -> bool {
        matches!(self, Self::Refused { status: 401, .. })
    }

    /// Whether Vitally fails for every account.
    pub const fn is_system_failure(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::RateLimited { .. }
            | Self::Unavailable { .. }
            | Self::NotJson { .. } => true,
            Self::Http(error) => error.is_system_failure(),
            _ => false,
        }
    }

    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether Vitally may have carried out the call in spite of the error.
    pub(super) const fn has_unknown_outcome(&self) -> bool {
        match self {
            Self::Http(error) => !error.is_before_sending(),
            Self::Unavailable { .. } => true,
            _ => false,
        }
    }

    /// The error for an answer without 2xx. `hide` removes the secrets from a text.
    pub(super) fn of_status(answer: &Answer, hide: impl Fn(&str) -> String) -> Self {
        let status = answer.status;
        let message = message(&answer.body, &hide);
        match status {
            400 | 409 | 422 => Self::BadRequest { status, message },
            401 | 403 => Self::Refused { status, message },
            // A web page comes from another server.
            404 if is_json_or_empty(&answer.body) => Self::NotFound { status, message },
            404 => Self::not_json(answer, hide),
            429 => Self::RateLimited { message, retry_after: http::retry_after(answer) },
            408 | 500.. => Self::Unavailable { status, message },
            _ => Self::Unexpected { status, message },
        }
    }

    pub(super) fn not_json(answer: &Answer, hide: impl Fn(&str) -> String) -> Self {
        Self::NotJson { status: answer.status, excerpt: excerpt(&answer.body, hide) }
    }
}

/// The text in `{"error": "…"}`, `{"message": "…"}` or `{"error": {"message": "…"}}`; for other bodies their beginning.
fn message(body: &[u8], hide: impl Fn(&str) -> String) -> String {
    let read: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = ["/error", "/message", "/error/message"].iter().find_map(|at| read.pointer(at)?.as_str());
    match text {
        Some(text) => short(&hide(text)),
        None if body.is_empty() => String::new(),
        None => excerpt(body, hide),
    }
}

fn is_json_or_empty(body: &[u8]) -> bool {
    body.is_empty() || serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

fn detail(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(", {message}") }
}

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;
    use bytes::Bytes;

    use super::*;

    #[test]
    fn system_failures_are_told_from_failures_of_one_account() {
        let about_it = [400, 404, 409, 413, 422].map(|status| (status, false));
        let trouble = [401, 403, 408, 429, 500, 503, 599].map(|status| (status, true));
        for (status, is_system_failure) in about_it.into_iter().chain(trouble) {
            let answer = Answer { status, headers: HeaderMap::new(), body: Bytes::new() };
            let error = VitallyError::of_status(&answer, str::to_owned);
            assert_eq!(error.is_system_failure(), is_system_failure, "{error:?}");
        }
        let paused = HttpError::Paused { left: Duration::from_secs(5) };
        assert!(matches!(paused.into(), VitallyError::RateLimited { retry_after: Some(_), .. }));
        assert!(!VitallyError::from(HttpError::TooLarge).is_system_failure());
        assert!(!VitallyError::RepeatedCursor.is_system_failure());
    }
}
