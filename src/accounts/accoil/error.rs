//! Why an account could not be read, and what the user can do about it.
//!
//! Accoil's own text is kept, without control characters and without the token, which a proxy might echo.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::query::QueryError;
use crate::accounts::answer::{excerpt, short, when};
use crate::accounts::http::HttpError;

#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// No call is made: the API needs a lookup.
    #[error(
        "no account is given: give its id, or match_type (domain, name, intercom_id, salesforce_id, tracking_id or a \
         trait of your own) and match_value"
    )]
    MissingLookup,
    /// No call is made.
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("Accoil rejected the request (400{0}): check workspace_id, match_type and expand")]
    BadRequest(Refusal),
    /// 401, and 403, which is not documented.
    #[error(
        "Accoil refuses the API token{refusal}: make one in Accoil under Settings > Product Settings > API Token and \
         set it as accounts.token; it begins with accoil_ and is not the key that events are sent with"
    )]
    Unauthorized { status: u16, refusal: Refusal },
    #[error(
        "Accoil has no such account (404{0}): check the value, which must be exact, and the workspace_id"
    )]
    NotFound(Refusal),
    #[error("Accoil accepts no more requests at the moment (429{refusal}): try again {}", when(*.retry_after))]
    RateLimited { refusal: Refusal, retry_after: Option<Duration> },
    /// JSON that is neither an account nor a documented error.
    #[error("Accoil answered {status} with {what}{refusal}: check accounts.base_url, or try again later")]
    Unexpected { status: u16, what: &'static str, refusal: Refusal },
    /// For example a proxy's page.
    #[error(
        "Accoil's address answered {status}, but not with JSON ({reason}): check accounts.base_url, and that no proxy answers in its place. The answer began: \
         {excerpt}"
    )]
    NotJson { status: u16, reason: String, excerpt: String },
    #[error("Accoil's read API could not be reached: {0}; check accounts.base_url")]
    Http(HttpError),
}

/// The content of an error's body, `{"error": {"code", "message", "details"}}`. It is shown after the status.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Refusal {
    /// `missing_lookup_parameter`, `unauthorized`, `not_found`; empty if there is none.
    pub code: String,
    pub message: String,
    pub details: Option<Value>,
}

/// Without a `source`: its text is part of the message and would be printed twice.
impl From<HttpError> for GetError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Paused { left } => {
                Self::RateLimited { refusal: Refusal::default(), retry_after: Some(left) }
            }
            error => Self::Http(error),
        }
    }
}

impl GetError {
    /// Whether Accoil itself answered that it has no such account. Another server's 404 does not count.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }

    /// Whether every call fails until the token is corrected. A 403 may concern one account only, or come from a proxy.
    pub const fn is_refused_token(&self) -> bool {
        matches!(self, Self::Unauthorized { status: 401, .. })
    }

    /// Whether Accoil fails for every account.
    pub const fn is_system_failure(&self) -> bool {
        match self {
            Self::Unauthorized { .. } | Self::RateLimited { .. } | Self::NotJson { .. } => true,
            Self::Unexpected { status, .. } => matches!(*status, 408 | 500..),
            Self::Http(error) => error.is_system_failure(),
            Self::MissingLookup | Self::Query(_) | Self::BadRequest(_) | Self::NotFound(_) => false,
        }
    }

    /// The error for an answer whose JSON is not an account.
    pub(super) fn from_object(status: u16, body: &Value, retry_after: Option<Duration>) -> Self {
        let refusal = body.get("error").filter(|error| error.is_object()).map(|error| {
            let text = |key| error.get(key).and_then(Value::as_str).unwrap_or_default();
            Refusal {
                code: short(text("code")),
                message: short(text("message")),
                details: error.get("details").filter(|details| !details.is_null()).cloned(),
            }
        });
        match (status, refusal) {
            // The status alone decides.
            (429, refusal) => Self::RateLimited { refusal: refusal.unwrap_or_default(), retry_after },
            (401 | 403, refusal) => Self::Unauthorized { status, refusal: refusal.unwrap_or_default() },
            (400, refusal) => Self::BadRequest(refusal.unwrap_or_default()),
            // Without Accoil's error object another server answered at that address.
            (404, Some(refusal)) => Self::NotFound(refusal),
            (500.., refusal) => {
                Self::Unexpected { status, what: "an error", refusal: refusal.unwrap_or_default() }
            }
            (_, Some(refusal)) => Self::Unexpected { status, what: "an error", refusal },
            (_, None) => {
                Self::Unexpected { status, what: "JSON that is not an account", refusal: Refusal::default() }
            }
        }
    }

    pub(super) fn not_json(status: u16, reason: String, body: &[u8], hide: impl Fn(&str) -> String) -> Self {
        Self::NotJson { status, reason, excerpt: excerpt(body, hide) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for text in [&self.code, &self.message] {
            if !text.is_empty() {
                write!(formatter, ", {text}")?;
            }
        }
        match &self.details {
            Some(details) => write!(formatter, ", {}", short(&details.to_string())),
            None => Ok(()),
        }
    }
}
