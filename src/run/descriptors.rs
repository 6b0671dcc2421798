//! Raises the soft limit of file descriptors at the start and divides the descriptors, so that idle senders never use
//! those that delivery, the outbox and the admin listener need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the files of the outbox and the history, the listeners, the runtime, the log and name look-ups.
const BASE: usize = 44;
/// If the limit is low, destinations get fewer connections before senders get fewer than this.
const MIN_SENDERS: usize = 16;

/// The number of connections of each kind that may be open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connections {
    pub(super) senders: usize,
    /// For all destinations together.
    pub(super) deliveries: usize,
    pub(super) admin: usize,
}

/// Raises the soft limit to the hard one. Returns the new limit; `None` means that there is none.
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
    /// Returns the wanted numbers, reduced to what the limit allows.
    pub(super) fn within(self, limit: Option<u64>) -> Self {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return self };
        let room = limit.saturating_sub(BASE);
        let (mut deliveries, mut admin) = (self.deliveries, self.admin);
        if room.saturating_sub(deliveries + admin) < self.senders.min(room / 2).max(MIN_SENDERS) {
            deliveries = deliveries.min(room / 4).max(1);
            admin = admin.min(room / 8).max(1);
        }
        let senders = self.senders.min(room.saturating_sub(deliveries + admin)).max(1);
        Self { senders, deliveries, admin }
    }
}

/// Logs how far the limit reduces the configured numbers.
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
    fn connections_are_divided_within_the_limit() {
        let wanted = Connections { senders: 4096, deliveries: 64, admin: 64 };
        for (limit, senders, deliveries, admin) in [
            (None, 4096, 64, 64),
            (Some(1_000_000), 4096, 64, 64),
            (Some(4096), 3924, 64, 64),
            (Some(1024), 852, 64, 64),
            (Some(256), 133, 53, 26),
            (Some(100), 35, 14, 7),
            (Some(40), 1, 1, 1),
            (Some(10), 1, 1, 1),
        ] {
            let expected = Connections { senders, deliveries, admin };
            assert_eq!(wanted.within(limit), expected, "{limit:?}");
        }
        let few = Connections { senders: 8, ..wanted };
        assert_eq!(few.within(Some(1024)), few);
    }
}
