//! Waiting calls, dead letters and rejects as anybody may read them, also while a relay has the outbox open.
//!
//! Read in pages, each a statement of its own: a long read would keep the relay's log from being used again. Never
//! changes anything.

use std::path::Path;

use rusqlite::Connection;

use super::handle::ReadError;
use super::sqlite::{self, DeadLetter, Filter, From, OpenError, StoredReject};
use super::waiting::{self, CallId, WaitingFilter, WaitingPage};

#[derive(Debug)]
pub struct Archive(Connection);

impl Archive {
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::Missing { path: path.to_owned() });
        }
        Ok(Self(sqlite::open_reader(path)?))
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.0
    }

    /// Those with an id above this one, the oldest first.
    pub fn dead_letters(
        &self,
        filter: &Filter,
        after: i64,
        most: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        Ok(sqlite::dead_letters(&self.0, filter, From::After(after), most)?)
    }

    /// Those with an id above this one, the oldest first.
    pub fn rejects(&self, filter: &Filter, after: i64, most: usize) -> Result<Vec<StoredReject>, ReadError> {
        Ok(sqlite::rejects(&self.0, filter, From::After(after), most)?)
    }

    /// The calls that wait, in order.
    pub fn waiting(
        &self,
        filter: &WaitingFilter,
        after: Option<CallId>,
        most: usize,
    ) -> Result<WaitingPage, ReadError> {
        Ok(waiting::page(&self.0, filter, after, most)?)
    }

    /// Those with an id below this one, the newest first.
    pub fn newest_dead_letters(
        &self,
        filter: &Filter,
        before: i64,
        most: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        Ok(sqlite::dead_letters(&self.0, filter, From::Before(before), most)?)
    }

    /// Those with an id below this one, the newest first.
    pub fn newest_rejects(
        &self,
        filter: &Filter,
        before: i64,
        most: usize,
    ) -> Result<Vec<StoredReject>, ReadError> {
        Ok(sqlite::rejects(&self.0, filter, From::Before(before), most)?)
    }
}
