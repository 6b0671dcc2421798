//! Payloads become Accoil requests (stage 4), in the dialect the destination is configured for.
//!
//! [`Destination`] is one Accoil product with its mappings; [`plan`] is what one received item becomes at all
//! its destinations: requests, rejects, or a reason why there is nothing to send. Pure: no clock, no network.
//! To add a destination of another kind: its encoding beside `v2.rs` and `segment.rs`.

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
/// Where Segment's dialect and *Post to Accoil* go, with the key in Segment's form whatever `api` says
/// (`docs/accoil-api.md#the-segment-endpoint`).
pub use segment::PATH as SEGMENT_PATH;

/// One request to be delivered.
#[derive(Debug, Clone)]
pub struct Request {
    /// The destination's name in the configuration.
    pub destination: Arc<str>,
    pub mapping: Arc<str>,
    /// Slug of the action that made it.
    pub action: &'static str,
    /// Path below the destination's base URL, such as `/v2/track`.
    pub path: &'static str,
    /// Whose calls must stay in order: the user id, or the group id of a group call without one
    /// (`docs/delivery.md#the-promise`).
    pub user: String,
    /// For calls that another event implies: sent only when these differ from what was delivered last.
    pub fingerprints: Vec<Fingerprint>,
    /// What was leniently left out or converted, as text for a person; empty mostly.
    pub warnings: String,
    /// The JSON body, as it will be sent.
    pub body: Vec<u8>,
}
