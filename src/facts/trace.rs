//! Logs received events at the level `trace`, one line for each call, reject and skipped event. Never a value of an event.

use super::{Received, Submission};

pub(super) fn received(received: &Received<'_>) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    let Submission { source, accepted, rejects, skipped, .. } = &received.submission;
    for event in accepted {
        for request in &event.requests {
            tracing::trace!(
                source.name = &**source,
                event.id = %event.event,
                destination.name = &*request.destination,
                mapping.name = &*request.mapping,
                call.path = request.path,
                call.bytes = request.body.len(),
                "a mapping made a call"
            );
        }
    }
    for reject in rejects {
        let mappings: Vec<&str> = reject.refused_by.iter().map(|(_, mapping)| &**mapping).collect();
        tracing::trace!(
            source.name = &**source,
            event.id = %reject.event,
            mapping.name = mappings.join(", "),
            reason.code = reject.code.code(),
            "rejected an event"
        );
    }
    for event in skipped {
        tracing::trace!(
            source.name = &**source,
            event.id = %event.event,
            reason.code = event.reason.code(),
            "skipped an event"
        );
    }
}
