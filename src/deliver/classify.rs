//! Classifies an answer: what it means for the call, by status and kind of failure, never by its text.
//!
//! An answer about the place (a redirect, 404, a refused key, a captive portal's page) is not about the call: the
//! queue waits. Only 400, 413 and 422 are the call's own fault.

use super::connection::{Answer, CallError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// A later attempt may succeed.
    Retry,
    /// The key was refused: the destination waits for its operator.
    Credentials,
    /// Any other answer about the place: a wrong address, maintenance, a proxy or a captive portal.
    Place,
    /// The same call can never succeed.
    Permanent,
}

impl Verdict {
    /// Returns whether the verdict is about the place and not about the call.
    pub const fn is_about_place(self) -> bool {
        matches!(self, Self::Credentials | Self::Place)
    }
}

/// Returns the verdict on a call's outcome.
pub fn judge(outcome: &Result<Answer, CallError>) -> Verdict {
    match outcome {
        Ok(answer) if is_web_page(answer) => Verdict::Place,
        Ok(answer) => classify(Some(answer.status)),
        Err(_) => Verdict::Retry,
    }
}

/// `status` is the answer's; `None` if there was no answer. Every such failure (connect, TLS, reset, timeout) may be
/// temporary.
pub const fn classify(status: Option<u16>) -> Verdict {
    match status {
        Some(200..=299) => Verdict::Delivered,
        Some(400 | 413 | 422) => Verdict::Permanent,
        Some(401 | 403) => Verdict::Credentials,
        // These depend on the relay, the address or the network, and are the same for every call.
        Some(501 | 505 | 511) => Verdict::Place,
        None | Some(408 | 409 | 423 | 424 | 425 | 429 | 500..=599) => Verdict::Retry,
        // This includes redirects, which are never followed, because the other host may not be entitled to the body.
        Some(_) => Verdict::Place,
    }
}

/// Returns whether a stored attempt failed because of the place. A failure with 2xx was a web page.
pub(super) const fn was_about_place(status: Option<u16>) -> bool {
    matches!(classify(status), Verdict::Credentials | Verdict::Place | Verdict::Delivered)
}

/// Returns whether a success has a page for people: it comes from a captive portal or a default site, never from
/// Accoil's API.
pub fn is_web_page(answer: &Answer) -> bool {
    let body = answer.body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&answer.body).trim_ascii_start();
    let begins = |tag: &[u8]| body.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag));
    matches!(answer.status, 200..=299) && (begins(b"<!doctype html") || begins(b"<html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_answer_has_its_verdict() {
        use Verdict::{Credentials, Delivered, Permanent, Place, Retry};
        for (statuses, verdict) in [
            (&[200, 202, 204, 299][..], Delivered),
            (&[400, 413, 422], Permanent),
            (&[401, 403], Credentials),
            (&[408, 409, 423, 424, 425, 429, 500, 502, 503, 504, 520, 529, 599], Retry),
            (&[101, 300, 301, 302, 304, 307, 308, 399], Place),
            (&[402, 404, 405, 406, 407, 410, 411, 412, 414, 415, 417, 418, 421, 426, 431, 451, 499], Place),
            (&[501, 505, 511, 999], Place),
        ] {
            for status in statuses {
                assert_eq!(classify(Some(*status)), verdict, "{status}");
            }
        }
        assert_eq!(classify(None), Retry);
    }

    #[test]
    fn a_web_page_is_no_success() {
        for (body, verdict) in [
            ("", Verdict::Delivered),
            ("{\"success\":true}", Verdict::Delivered),
            ("OK <html>", Verdict::Delivered),
            ("\r\n<!DOCTYPE html><title>Sign in", Verdict::Place),
            ("\u{feff}<HTML lang=en>", Verdict::Place),
        ] {
            let headers = http::HeaderMap::new();
            let answer = Answer { status: 200, headers, body: body.into() };
            assert_eq!(judge(&Ok(answer)), verdict, "{body}");
        }
    }
}
