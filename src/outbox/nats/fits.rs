//! Whether a post fits into the cluster's messages, whose largest size is the servers' `max_payload`.

use super::super::Submission;
use super::super::frame;
use super::codec::LEVEL;
use super::stage::CHUNK_BYTES;

/// The headers of a message, and what a record has beside an event.
const SLACK: usize = 32 << 10;

/// The largest event: the rest of a message may be a chunk that is almost full.
pub(super) const fn largest_event(max_payload: usize) -> usize {
    max_payload.saturating_sub(CHUNK_BYTES + SLACK)
}

/// Whether some event is so large that it has to be compressed to find out.
pub(super) fn is_doubtful(submission: &Submission, largest: usize) -> bool {
    submission.accepted.iter().any(|event| frame::size(event) > largest)
        || submission.rejects.iter().any(|reject| reject.original.len() + reject.reasons.len() > largest)
}

/// Whether each event fits when it is compressed. May take some time.
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
