//! The senders, how the relay recognises them, and where their events go.

use std::time::Duration;

use secrecy::SecretString;

use super::section::Section;
use super::table::section;
use super::value::{self, Word};
use crate::event::SourceKind;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

section! {
    /// One sender: an SDK, a webhook or an event stream. A relay that only synchronises accounts has none.
    List [sources] pub struct Source (restrict_to_kind) {
        /// Unique. 1 to 64 letters, digits, hyphens and underscores.
        name: String = required("web"), value::name;
        /// `"segment"`: Segment's webhooks and SDKs. `"amplitude"`: Amplitude's event stream and SDKs.
        kind: SourceKind = required("segment"), value::choice;
        /// The key by which the relay recognises the sender. May be missing only if the relay listens on loopback.
        write_key: Option<SecretString> = secret("${WEB_WRITE_KEY}"), value::token;
        /// Requests must then have a valid `X-Signature`, on every route.
        shared_secret: Option<SecretString> = secret("${WEB_SECRET}"), value::secret, only Segment;
        /// With a `shared_secret`: `"allow"` accepts requests without a signature too, for SDKs, which cannot sign. A wrong
        /// signature is still refused.
        unsigned: Unsigned = default("refuse"), value::choice, only Segment;
        /// The names of the destinations that events go to.
        destinations: Vec<String> = otherwise(["accoil"], "all", Vec::new()), value::list;
        /// What to do with an event without a user id: `"reject"` keeps it and shows why, `"skip"` only counts it.
        anonymous: Anonymous = otherwise(
            "reject", "`\"reject\"` for Segment, `\"skip\"` for Amplitude", default_anonymous(kind)
        ), value::choice;
        /// How long an event's id is remembered, so that a repeated event is not sent again. `"0s"`: not at all.
        deduplication_window: Duration = otherwise(
            "24h", "`\"24h\"` for Segment, `\"7d\"` for Amplitude", default_window(kind)
        ), value::duration_or_zero;
        /// Accept only these event types.
        events: Vec<String> = otherwise(["Report Created", "Report Shared"], "all", Vec::new()),
            value::list, only Amplitude;
        /// Ignore these event types.
        exclude_events: Vec<String> = otherwise(["session_start", "session_end"], "none", Vec::new()),
            value::list, only Amplitude;
        /// The event properties that a track call includes.
        event_properties: Vec<String> = otherwise(["plan"], "none", Vec::new()), value::list, only Amplitude;
        /// The path of the property that is the user id.
        user_id: Option<String> = optional("user_properties.email", "`user_id`"), value::text, only Amplitude;
        /// The group type whose group is the primary one.
        prefer_group_type: Option<String> = optional("Account", "the first group id in text order"),
            value::text, only Amplitude;
    }
}

/// How to handle an event without a valid user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Count it and do not keep it: the default for Amplitude, whose stream sends everything.
    Skip,
    /// Keep it as a reject: the default for Segment.
    Reject,
}

impl Word for Anonymous {
    const WORDS: &'static [(&'static str, Self)] = &[("skip", Self::Skip), ("reject", Self::Reject)];
}

/// How to handle a request without a signature if the source has a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    Refuse,
    /// Accept it, because the write key is enough. A wrong signature is still refused.
    Allow,
}

impl Word for Unsigned {
    const WORDS: &'static [(&'static str, Self)] = &[("refuse", Self::Refuse), ("allow", Self::Allow)];
}

impl Word for SourceKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[(Self::Segment.name(), Self::Segment), (Self::Amplitude.name(), Self::Amplitude)];
}

/// Keys of the other kind are refused: the user who wrote one expects an effect.
fn restrict_to_kind(section: &mut Section<'_, '_>) {
    section.kind = section.peek("kind", value::choice);
}

const fn default_anonymous(kind: SourceKind) -> Anonymous {
    match kind {
        SourceKind::Segment => Anonymous::Reject,
        SourceKind::Amplitude => Anonymous::Skip,
    }
}

fn default_window(kind: SourceKind) -> Duration {
    match kind {
        SourceKind::Segment => DAY,
        SourceKind::Amplitude => 7 * DAY,
    }
}
