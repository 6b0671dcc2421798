//! Stages the removal of rows: expired ones, rejects over their size, and those that an operator or a replay removes.

use rusqlite::Result;

use super as sqlite;
use super::writer::Writer;
use crate::outbox::clock::Now;
use crate::outbox::{Amount, Kind, Retention, Usage};

/// The writer looks for old rows this often, and with each commit while more than a batch is left.
const HOUSEKEEPING: chrono::Duration = chrono::Duration::minutes(1);
/// A derived call that was not repeated for this long is sent again.
const LAST_DELIVERED_TTL: chrono::Duration = chrono::Duration::days(30);

impl Writer {
    pub(super) fn remove(&mut self, kind: Kind, ids: &[i64]) -> Result<usize> {
        let removed = sqlite::remove(&self.store.connection, kind, ids)?;
        self.usage.of(kind).remove(removed);
        Ok(usize::try_from(removed.rows).unwrap_or(usize::MAX))
    }

    /// Deletes the oldest rejects over their size limit. Dead letters were accepted, so none is deleted for room.
    pub(super) fn trim_rejects(&mut self) -> Result<()> {
        while self.usage.rejects.bytes > self.rejects.bytes {
            let removed = sqlite::remove_oldest(&self.store.connection, Kind::Reject)?;
            self.usage.rejects.remove(removed);
            if removed.rows == 0 {
                self.usage.rejects = Amount::default();
            }
        }
        Ok(())
    }

    /// Deletes a batch of expired rows, so that no commit becomes long; returns whether more may be left.
    pub(super) fn keep_house(&mut self, now: Now) -> Result<bool> {
        let connection = &self.store.connection;
        sqlite::store_running_time(connection, now.running)?;
        let mut is_more =
            sqlite::forget(connection, self.recent.horizon(now.running), now.running - LAST_DELIVERED_TTL)?;
        for kind in Kind::ALL {
            let retention = self.retention(kind);
            let (removed, more) = sqlite::remove_old(&self.store.connection, kind, &retention, now)?;
            self.usage.of(kind).remove(removed);
            is_more |= more;
        }
        self.housekeeping_at = if is_more { now.running } else { now.running + HOUSEKEEPING };
        Ok(is_more)
    }

    const fn retention(&self, kind: Kind) -> Retention {
        match kind {
            Kind::DeadLetter => self.dead_letters,
            Kind::Reject => self.rejects,
        }
    }
}

impl Usage {
    pub(super) const fn of(&mut self, kind: Kind) -> &mut Amount {
        match kind {
            Kind::DeadLetter => &mut self.dead_letters,
            Kind::Reject => &mut self.rejects,
        }
    }
}
