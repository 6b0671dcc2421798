//! How much the outbox contains, how much it may contain, and for how long.

use std::time::Duration;

/// A number of rows and their total size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Amount {
    pub rows: u64,
    pub bytes: u64,
}

impl Amount {
    pub(crate) const fn add(&mut self, more: Self) {
        self.rows += more.rows;
        self.bytes += more.bytes;
    }

    pub(crate) const fn remove(&mut self, less: Self) {
        self.rows = self.rows.saturating_sub(less.rows);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }
}

/// What the outbox contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Calls that wait to be delivered.
    pub waiting: Amount,
    pub dead_letters: Amount,
    pub rejects: Amount,
}

/// How long dead letters and rejects are kept, in running time, and how many bytes of them. The oldest rejects over
/// their limit are removed. Dead letters over theirs stop acceptance, because they were accepted.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    pub age: Duration,
    pub bytes: u64,
}
