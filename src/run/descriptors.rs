//! File descriptors: raises the soft limit at the start and shares what there is, so that idle senders never take those that
//! delivery, the outbox and the admin listener need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The outbox's files, the listeners, the runtime's own, the log, names looked up.
const BASE: usize = 32;
/// A destination's connections are shrunk before the senders have fewer than this.
const FEWEST_SENDERS: usize = 16;

/// Connections of each kind at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connections {
    pub(super) senders: usize,
    /// To all destinations together.
    pub(super) deliveries: usize,
    pub(super) admin: usize,
}

/// Raises the soft limit to the hard one and returns the limit that holds then; `None`: there is none.
pub(super) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(error.message = %error, limit = limit.current, "the limit of open files could not be raised");
        }
    }
    getrlimit(Resource::Nofile).current
}

impl Connections {
    /// What is wanted, as far as the limit allows.
    pub(super) fn within(self, limit: Option<u64>) -> Self {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return self };
        let room = limit.saturating_sub(BASE);
        let (mut deliveries, mut admin) = (self.deliveries, self.admin);
        if room.saturating_sub(deliveries + admin) < self.senders.min(room / 2).max(FEWEST_SENDERS) {
            deliveries = deliveries.min(room / 4).max(1);
            admin = admin.min(room / 8).max(1);
        }
        let senders = self.senders.min(room.saturating_sub(deliveries + admin)).max(1);
        Self { senders, deliveries, admin }
    }
}

/// Logs what the limit takes from what is configured.
pub(super) fn report(wanted: Connections, given: Connections, limit: Option<u64>) {
    if wanted != given {
        tracing::warn!(
            limit,
            server.max_connections = given.senders,
            deliveries = given.deliveries,
            "the limit of open files allows fewer connections than configured; raise it (ulimit -n, LimitNOFILE, --ulimit \
             nofile) or lower server.max_connections"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shared_out_of_what_there_is() {
        let wanted = Connections { senders: 4096, deliveries: 64, admin: 64 };
        for (limit, senders, deliveries, admin) in [
            (None, 4096, 64, 64),
            (Some(1_000_000), 4096, 64, 64),
            (Some(4096), 3936, 64, 64),
            (Some(1024), 864, 64, 64),
            (Some(256), 140, 56, 28),
            (Some(100), 43, 17, 8),
            (Some(40), 5, 2, 1),
            (Some(10), 1, 1, 1),
        ] {
            let expected = Connections { senders, deliveries, admin };
            assert_eq!(wanted.within(limit), expected, "{limit:?}");
        }
        let few = Connections { senders: 8, ..wanted };
        assert_eq!(few.within(Some(1024)), few);
    }
}
