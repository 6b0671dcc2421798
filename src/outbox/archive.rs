//! Read-only access to waiting calls, dead letters and rejects, also while a relay has the outbox open.
//!
//! Reads in pages, each with a statement of its own, because a long read would keep SQLite from reusing the relay's
//! log. Never changes anything.

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

    /// Returns the dead letters with an id above this one, oldest first.
    pub fn dead_letters(
        &self,
        filter: &Filter,
        after: i64,
        most: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        Ok(sqlite::dead_letters(&self.0, filter, From::After(after), most)?)
    }

    /// Returns the rejects with an id above this one, oldest first.
    pub fn rejects(&self, filter: &Filter, after: i64, most: usize) -> Result<Vec<StoredReject>, ReadError> {
        Ok(sqlite::rejects(&self.0, filter, From::After(after), most)?)
    }

    /// Returns the waiting calls in order.
    pub fn waiting(
        &self,
        filter: &WaitingFilter,
        after: Option<CallId>,
        most: usize,
    ) -> Result<WaitingPage, ReadError> {
        Ok(waiting::page(&self.0, filter, after, most)?)
    }

    /// Returns the dead letters with an id below this one, newest first.
    pub fn newest_dead_letters(
        &self,
        filter: &Filter,
        before: i64,
        most: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        Ok(sqlite::dead_letters(&self.0, filter, From::Before(before), most)?)
    }

    /// Returns the rejects with an id below this one, newest first.
    pub fn newest_rejects(
        &self,
        filter: &Filter,
        before: i64,
        most: usize,
    ) -> Result<Vec<StoredReject>, ReadError> {
        Ok(sqlite::rejects(&self.0, filter, From::Before(before), most)?)
    }
}
