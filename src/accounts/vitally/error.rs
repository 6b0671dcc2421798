//! Why Vitally's API did not do what was asked, in words for a person that say what to do.
//!
//! What Vitally wrote is kept, without control characters and without the secret, should something send it back.

use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::accounts::answer::{excerpt, short, when};
use crate::accounts::http::{Answer, HttpError};

#[derive(Debug, thiserror::Error)]
pub enum VitallyError {
    /// Not even asked.
    #[error("this is no usable account or organization id: it {0}")]
    BadId(&'static str),
    #[error("Vitally does not take the request ({status}{}): correct what it names", detail(.message))]
    BadRequest { status: u16, message: String },
    #[error(
        "Vitally refuses the secret ({status}{}): copy the Secret Token or the Basic Auth Header from Vitally under \
         Settings > Integrations > Vitally REST API and set it as vitally.secret; the Analytics API has another token, \
         which does not work here. Check vitally.subdomain or region too",
        detail(.message)
    )]
    Refused { status: u16, message: String },
    #[error("Vitally has none with this id ({status}{}): give its Vitally id or its externalId", detail(.message))]
    NotFound { status: u16, message: String },
    /// A create that met one that is there.
    #[error("an account with this externalId is there already: change it with update")]
    Conflict,
    /// After several tries, each as late as Vitally asked for.
    #[error("Vitally takes no more calls just now (429{}): try again {}", detail(.message), when(*.retry_after))]
    RateLimited { message: String, retry_after: Option<Duration> },
    /// After several tries.
    #[error("Vitally fails just now ({status}{}): try again later", detail(.message))]
    Unavailable { status: u16, message: String },
    #[error("Vitally answered {status}{}, which is not documented: is the address right?", detail(.message))]
    Unexpected { status: u16, message: String },
    /// A proxy's page, say.
    #[error(
        "Vitally's address answered {status} with what is not JSON: is it right, and is no proxy between? It begins: {excerpt}"
    )]
    NotJson { status: u16, excerpt: String },
    #[error("Vitally answered with JSON that is not as documented: {0}")]
    Shape(&'static str),
    #[error(
        "Vitally gave the same page cursor twice, so the list would never end; what came before is not all of it"
    )]
    RepeatedCursor,
    #[error(
        "Vitally gave an empty page that is marked as not the last; what came before may not be all of it"
    )]
    EmptyPage,
    #[error(
        "Vitally's list has more than {0} pages, so something is wrong with it; what came before is not all of it"
    )]
    TooManyPages(u32),
    #[error("Vitally could not be asked: {0}; is the address right?")]
    Http(HttpError),
}

/// Its words are in the message. As a source they would be printed twice.
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
    /// Whether nothing works until the secret or the address is corrected. A 403 may be about one account, or not
    /// Vitally's.
    pub const fn is_refused_secret(&self) -> bool {
        matches!(self, Self::Refused { status: 401, .. })
    }

    /// Whether Vitally fails, or refuses us, for every account.
    pub const fn is_trouble(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::RateLimited { .. }
            | Self::Unavailable { .. }
            | Self::NotJson { .. } => true,
            Self::Http(error) => error.is_trouble(),
            _ => false,
        }
    }

    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the call may have been carried out all the same.
    pub(super) const fn leaves_open(&self) -> bool {
        match self {
            Self::Http(error) => !error.is_before_sending(),
            Self::Unavailable { .. } => true,
            _ => false,
        }
    }

    /// What an answer of another status than 2xx means. `hide` takes secrets out of a text.
    pub(super) fn of_status(answer: &Answer, hide: impl Fn(&str) -> String) -> Self {
        let status = answer.status;
        let message = message(&answer.body, &hide);
        match status {
            400 | 409 | 422 => Self::BadRequest { status, message },
            401 | 403 => Self::Refused { status, message },
            // A page for people is somebody else's answer.
            404 if is_json_or_empty(&answer.body) => Self::NotFound { status, message },
            404 => Self::not_json(answer, hide),
            429 => Self::RateLimited { message, retry_after: answer.retry_after() },
            408 | 500.. => Self::Unavailable { status, message },
            _ => Self::Unexpected { status, message },
        }
    }

    pub(super) fn not_json(answer: &Answer, hide: impl Fn(&str) -> String) -> Self {
        Self::NotJson { status: answer.status, excerpt: excerpt(&answer.body, hide) }
    }
}

/// `{"error": "…"}` or `{"message": "…"}`, an object with a message in either; else what came.
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
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    #[test]
    fn trouble_is_not_about_one_account() {
        let about_it = [400, 404, 409, 413, 422].map(|status| (status, false));
        let trouble = [401, 403, 408, 429, 500, 503, 599].map(|status| (status, true));
        for (status, is_trouble) in about_it.into_iter().chain(trouble) {
            let answer = Answer { status, headers: HeaderMap::new(), body: Bytes::new() };
            let error = VitallyError::of_status(&answer, str::to_owned);
            assert_eq!(error.is_trouble(), is_trouble, "{error:?}");
        }
        let paused = HttpError::Paused { left: Duration::from_secs(5) };
        assert!(matches!(paused.into(), VitallyError::RateLimited { retry_after: Some(_), .. }));
        assert!(!VitallyError::from(HttpError::TooLarge).is_trouble());
        assert!(!VitallyError::RepeatedCursor.is_trouble());
    }
}
