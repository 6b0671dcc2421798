//! Checks that a post fits into the cluster's messages. A message may have `max_payload` bytes, a setting of the servers.

use super::super::Submission;
use super::super::frame;
use super::codec::LEVEL;
use super::stage::CHUNK_BYTES;

/// The room for a message's headers and for the fields of a record beside the event.
const SLACK: usize = 32 << 10;

/// The largest event. A chunk that is almost full takes the rest of its message.
pub(super) const fn largest_event(max_payload: usize) -> usize {
    max_payload.saturating_sub(CHUNK_BYTES + SLACK)
}

/// Returns whether an event is so large that only compressing it shows whether it fits.
pub(super) fn is_doubtful(submission: &Submission, largest: usize) -> bool {
    submission.accepted.iter().any(|event| frame::size(event) > largest)
        || submission.rejects.iter().any(|reject| reject.original.len() + reject.reasons.len() > largest)
}

/// Returns whether each event fits when it is compressed. Takes CPU time, so it must not run on an async worker.
pub(super) fn fits(submission: &Submission, largest: usize) -> bool {
    let compressed = |parts: &[&[u8]]| {
        zstd::bulk::compress(&parts.concat(), LEVEL).map_or(usize::MAX, |packed| packed.len())
    };
    let accepted = submission.accepted.iter().filter(|event| frame::size(event) > largest).all(|event| {
        let bodies = event.requests.iter().map(|request| &request.body[..]);
        compressed(&std::iter::once(&event.original[..]).chain(bodies).collect::<Vec<_>>()) <= largest
    });
    let is_large = |length: usize| length > largest;
    accepted
        && submission
            .rejects
            .iter()
            .filter(|reject| is_large(reject.original.len() + reject.reasons.len()))
            .all(|reject| compressed(&[&reject.original[..], reject.reasons.as_bytes()]) <= largest)
}
