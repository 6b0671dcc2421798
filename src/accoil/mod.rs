//! Turns payloads into Accoil requests (stage 4), in the dialect of the destination.
//!
//! [`Destination`] is one Accoil product with its mappings. [`plan`] runs one received item through all its
//! destinations: it returns requests, rejects, or a reason why there is nothing to send. Pure: it uses no clock and
//! no network. To add another kind of destination, add its encoding beside `v2.rs` and `segment.rs`.

mod body;
mod destination;
mod explain;
mod fingerprint;
mod key;
mod money;
mod plan;
mod segment;
mod v2;

use std::sync::Arc;

pub use body::Money;
pub use destination::Destination;
pub use explain::Explanation;
pub use fingerprint::Fingerprint;
pub use key::authorization;
pub use plan::{Plan, Refusal, plan};
/// The path for Segment's dialect and for *Post to Accoil*, whatever `api` is. The key is then in Segment's form
/// (`docs/accoil-api.md#the-segment-endpoint`).
pub use segment::PATH as SEGMENT_PATH;

/// Returns the path with this text, if calls have it.
pub fn path_named(path: &str) -> Option<&'static str> {
    v2::PATHS.into_iter().chain([SEGMENT_PATH]).find(|known| *known == path)
}

/// One request to deliver.
#[derive(Debug, Clone)]
pub struct Request {
    /// The destination's name in the configuration.
    pub destination: Arc<str>,
    pub mapping: Arc<str>,
    /// The slug of the action that made it.
    pub action: &'static str,
    /// The path below the destination's base URL, such as `/v2/track`.
    pub path: &'static str,
    /// Calls with the same value stay in order: the user id, or the group id of a group call without one
    /// (`docs/delivery.md#the-promise`).
    pub user: String,
    /// For derived calls: the call is sent only if these differ from what was delivered last.
    pub fingerprints: Vec<Fingerprint>,
    /// What lenient checks left out or converted, as text for a person; usually empty.
    pub warnings: String,
    /// The JSON body as it is sent.
    pub body: Vec<u8>,
}
