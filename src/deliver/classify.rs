//! What an answer means for the call: by status and kind of failure, never by text (`facts/accoil.md` 1.5,
//! `facts/segment.md` 6, DESIGN 5.12).

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// Worth another try, later.
    Retry,
    /// The key was refused: nobody's call is at fault, so the destination waits for its operator.
    Credentials,
    /// The same call can never succeed.
    Permanent,
}

/// `status` is the answer's; `None` when none came: every such failure (connect, TLS, reset, timeout) may pass.
pub const fn classify(status: Option<u16>) -> Verdict {
    match status {
        Some(200..=299) => Verdict::Delivered,
        Some(401 | 403) => Verdict::Credentials,
        Some(501 | 505) => Verdict::Permanent,
        None | Some(408 | 423 | 429 | 500..=599) => Verdict::Retry,
        // Redirects among them, which are never followed: the body may not be meant for that place.
        Some(_) => Verdict::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_answer_has_its_verdict() {
        use Verdict::{Credentials, Delivered, Permanent, Retry};
        for (status, verdict) in [
            (200, Delivered),
            (202, Delivered),
            (299, Delivered),
            (301, Permanent),
            (400, Permanent),
            (401, Credentials),
            (403, Credentials),
            (404, Permanent),
            (408, Retry),
            (413, Permanent),
            (423, Retry),
            (429, Retry),
            (500, Retry),
            (501, Permanent),
            (503, Retry),
            (505, Permanent),
            (599, Retry),
        ] {
            assert_eq!(classify(Some(status)), verdict, "{status}");
        }
        assert_eq!(classify(None), Retry);
    }
}
