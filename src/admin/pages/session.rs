//! The sessions of the dashboard: a random name in a cookie, stored here only as a hash.
//!
//! A session has the access of its token. It also has a form token, which every form that changes something must repeat. Nothing
//! is stored on disk, so a restart logs everybody out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha1::{Digest as _, Sha1};
use subtle::ConstantTimeEq as _;

use crate::admin::guard::Access;

/// The name of the cookie.
pub(super) const COOKIE: &str = "accoil_relay";
/// Beyond this number, the session that was idle longest ends.
const MAX_SESSIONS: usize = 100;
/// A session ends after this time without a request.
const MAX_IDLE: Duration = Duration::from_secs(12 * 60 * 60);
/// The number of wrong tokens within [`LOG_IN_WINDOW`], from everybody together, before log-in pauses.
const MAX_LOG_INS: usize = 5;
const LOG_IN_WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(in crate::admin) struct Sessions {
    state: Mutex<State>,
    /// The form token of visitors who need no session.
    form_token: String,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<[u8; 20], Session>,
    failed_log_ins: Vec<Instant>,
}

#[derive(Debug, Clone)]
struct Session {
    access: Access,
    form_token: String,
    last_used: Instant,
}

/// A session as a request sees it.
#[derive(Debug, Clone)]
pub(in crate::admin) struct Visitor {
    pub(in crate::admin) access: Access,
    /// The value that the session's forms send as `form_token`.
    pub(in crate::admin) form_token: String,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { state: Mutex::default(), form_token: random() }
    }
}

impl Sessions {
    /// A visitor with a token, or on this machine.
    pub(super) fn without_session(&self, access: Access) -> Visitor {
        Visitor { access, form_token: self.form_token.clone() }
    }

    /// Starts a session. Returns the cookie's value: 64 hexadecimal digits.
    pub(super) fn begin(&self, access: Access, now: Instant) -> String {
        let (name, form_token) = (random(), random());
        let mut state = self.state();
        state.sessions.retain(|_, session| now.duration_since(session.last_used) < MAX_IDLE);
        if state.sessions.len() >= MAX_SESSIONS
            && let Some(idlest) =
                state.sessions.iter().min_by_key(|(_, session)| session.last_used).map(|(key, _)| *key)
        {
            state.sessions.remove(&idlest);
        }
        state.sessions.insert(hash(&name), Session { access, form_token, last_used: now });
        name
    }

    /// Returns the session of a cookie's value.
    pub(in crate::admin) fn visitor(&self, name: &str, now: Instant) -> Option<Visitor> {
        let mut state = self.state();
        let session = state.sessions.get_mut(&hash(name))?;
        if now.duration_since(session.last_used) >= MAX_IDLE {
            return None;
        }
        session.last_used = now;
        Some(Visitor { access: session.access, form_token: session.form_token.clone() })
    }

    pub(super) fn end(&self, name: &str) {
        self.state().sessions.remove(&hash(name));
    }

    /// Returns how long log-in pauses because of wrong tokens; `None` if it is open.
    pub(super) fn log_in_pause(&self, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        state.failed_log_ins.retain(|at| now.duration_since(*at) < LOG_IN_WINDOW);
        let first = *state.failed_log_ins.first()?;
        (state.failed_log_ins.len() >= MAX_LOG_INS)
            .then(|| LOG_IN_WINDOW.saturating_sub(now.duration_since(first)))
    }

    pub(super) fn note_failed_log_in(&self, now: Instant) {
        let mut state = self.state();
        if state.failed_log_ins.len() < MAX_LOG_INS {
            state.failed_log_ins.push(now);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visitor {
    /// Returns whether a form was made for this session.
    pub(super) fn is_form_of_session(&self, form_token: &str) -> bool {
        bool::from(self.form_token.as_bytes().ct_eq(form_token.as_bytes()))
    }
}

/// Returns 244 random bits as text. `Uuid::new_v4` takes them from the operating system.
fn random() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

fn hash(name: &str) -> [u8; 20] {
    Sha1::digest(name.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_log_out_and_after_twelve_idle_hours() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let name = sessions.begin(Access::Viewer { sees_payloads: false }, start);
        let visitor = sessions.visitor(&name, start + Duration::from_secs(60)).unwrap();
        assert_eq!(visitor.access, Access::Viewer { sees_payloads: false });
        assert!(
            visitor.is_form_of_session(&visitor.form_token)
                && !visitor.is_form_of_session("")
                && !visitor.is_form_of_session(&name)
        );
        assert!(sessions.visitor("another", start).is_none());
        assert!(sessions.visitor(&name, start + MAX_IDLE + Duration::from_secs(61)).is_none());
        sessions.end(&name);
        assert!(sessions.visitor(&name, start).is_none());
    }

    #[test]
    fn at_most_a_hundred_sessions_are_kept_and_the_idlest_goes_first() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let names: Vec<String> = (0..=MAX_SESSIONS as u64)
            .map(|at| sessions.begin(Access::Full, start + Duration::from_secs(at)))
            .collect();
        let now = start + Duration::from_secs(200);
        assert!(sessions.visitor(&names[0], now).is_none());
        assert!(names[1..].iter().all(|name| sessions.visitor(name, now).is_some()));
    }

    #[test]
    fn log_in_pauses_after_five_wrong_tokens() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        for _ in 0..MAX_LOG_INS {
            assert_eq!(sessions.log_in_pause(start), None);
            sessions.note_failed_log_in(start);
        }
        assert_eq!(sessions.log_in_pause(start + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!(sessions.log_in_pause(start + LOG_IN_WINDOW), None);
    }
}
