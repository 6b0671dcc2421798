//! `[[sources]]`: the senders, how the relay recognises them, and where their events go.

use std::time::Duration;

use secrecy::SecretString;

use super::section::Section;
use super::value;
use crate::event::SourceKind;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One sender: an SDK, a webhook or an event stream.
#[derive(Debug, Clone)]
pub struct Source {
    /// Unique among the sources.
    pub name: String,
    pub kind: SourceKind,
    /// Unique among the sources of its kind; `None` only where the relay listens on loopback.
    pub write_key: Option<SecretString>,
    /// Segment only: if it is set, requests need a valid `X-Signature`.
    pub shared_secret: Option<SecretString>,
    /// Segment only, with a shared secret: whether requests without a signature are accepted.
    pub unsigned: Unsigned,
    /// Names of existing destinations. All of them if the file lists none.
    pub destinations: Vec<String>,
    /// How to handle an event without a user id (`docs/accoil-api.md#users`).
    pub anonymous: Anonymous,
    /// Amplitude only: accept only these event types. Empty: all.
    pub events: Vec<String>,
    /// Amplitude only: ignore these event types.
    pub exclude_events: Vec<String>,
    /// Amplitude only: the event properties that a track call includes (`docs/amplitude.md#what-one-event-becomes`).
    pub event_properties: Vec<String>,
    /// Amplitude only: the path of the property with the user id, if it is not `user_id`.
    pub user_id: Option<String>,
    /// Amplitude only: the group type to prefer as the primary one.
    pub prefer_group_type: Option<String>,
    /// How long a repeated event is recognised; zero disables de-duplication (`docs/delivery.md#the-promise`).
    pub deduplication_window: Duration,
}

/// How to handle an event without a valid user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Count it and do not keep it: the default for Amplitude, whose stream sends everything.
    Skip,
    /// Keep it as a reject: the default for Segment.
    Reject,
}

/// How to handle a request without a signature if the source has a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unsigned {
    #[default]
    Refuse,
    /// Accept it, because the write key is enough. A wrong signature is still refused.
    Allow,
}

pub(super) const UNSIGNED: [(&str, Unsigned); 2] = [("refuse", Unsigned::Refuse), ("allow", Unsigned::Allow)];

pub(super) const KINDS: [(&str, SourceKind); 2] = [
    (SourceKind::Segment.name(), SourceKind::Segment),
    (SourceKind::Amplitude.name(), SourceKind::Amplitude),
];

pub(super) const ANONYMOUS: [(&str, Anonymous); 2] =
    [("skip", Anonymous::Skip), ("reject", Anonymous::Reject)];

impl Source {
    /// `destinations` stays empty if the file lists none; `Config` fills it in.
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let kind = section.get_required("kind", value::choice(&KINDS));
        refuse_foreign_keys(section, kind);
        let kind = kind.unwrap_or(SourceKind::Segment);
        let (anonymous, window) = match kind {
            SourceKind::Segment => (Anonymous::Reject, DAY),
            SourceKind::Amplitude => (Anonymous::Skip, 7 * DAY),
        };
        Self {
            name: section.require("name", value::name),
            kind,
            write_key: section.secret("write_key", "write_key_file", value::token),
            shared_secret: section.secret("shared_secret", "shared_secret_file", value::secret),
            unsigned: section.get("unsigned", value::choice(&UNSIGNED)).unwrap_or_default(),
            destinations: section.get("destinations", value::list).unwrap_or_default(),
            anonymous: section.get("anonymous", value::choice(&ANONYMOUS)).unwrap_or(anonymous),
            events: section.get("events", value::list).unwrap_or_default(),
            exclude_events: section.get("exclude_events", value::list).unwrap_or_default(),
            event_properties: section.get("event_properties", value::list).unwrap_or_default(),
            user_id: section.get("user_id", value::text),
            prefer_group_type: section.get("prefer_group_type", value::text),
            deduplication_window: section
                .get("deduplication_window", value::duration_or_zero)
                .unwrap_or(window),
        }
    }
}

/// Refuses keys that would have no effect: the user who wrote one expects an effect.
fn refuse_foreign_keys(section: &mut Section<'_, '_>, kind: Option<SourceKind>) {
    match kind {
        Some(SourceKind::Segment) => section.refuse(
            &["events", "exclude_events", "event_properties", "user_id", "prefer_group_type"],
            "is for Amplitude sources only",
            "use a mapping's trigger and fields instead",
        ),
        Some(SourceKind::Amplitude) => section.refuse(
            &["shared_secret", "shared_secret_file", "unsigned"],
            "is for Segment sources only",
            "Amplitude does not sign requests; a source is recognised by its write_key",
        ),
        None => {}
    }
}
