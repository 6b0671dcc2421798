//! Read-only access to waiting calls, dead letters and rejects, also while a relay has the outbox open.
//!
//! Reads in pages, each with a statement of its own, because a long read would keep SQLite from reusing the relay's
//! log. Never changes anything.

use std::path::Path;

use rusqlite::Connection;

use super::reads::read_failed;
use super::{self as sqlite, waiting};
use crate::outbox::{
    DeadLetter, Filter, Group, OpenError, PageFrom, Position, ReadError, StoredReject, WaitingFilter,
    WaitingPage,
};

#[derive(Debug)]
pub struct Archive(Connection);

impl Archive {
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::Missing { path: path.to_owned() });
        }
        Ok(Self(sqlite::open_reader(path)?))
    }

    /// Returns the dead letters with an id above this one, oldest first.
    pub fn dead_letters(
        &self,
        filter: &Filter,
        after: i64,
        most: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        sqlite::dead_letters(&self.0, filter, PageFrom::After(after), most).map_err(read_failed)
    }

    /// Returns the rejects with an id above this one, oldest first.
    pub fn rejects(&self, filter: &Filter, after: i64, most: usize) -> Result<Vec<StoredReject>, ReadError> {
        sqlite::rejects(&self.0, filter, PageFrom::After(after), most).map_err(read_failed)
    }

    /// Returns the waiting calls in order.
    pub fn waiting(
        &self,
        filter: &WaitingFilter,
        after: Option<Position>,
        most: usize,
    ) -> Result<WaitingPage, ReadError> {
        waiting::page(&self.0, filter, after, most).map_err(read_failed)
    }

    /// Returns the dead letters with an id below this one, newest first.
    pub fn newest_dead_letters(
        &self,
        filter: &Filter,
        before: i64,
        most: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        sqlite::dead_letters(&self.0, filter, PageFrom::Before(before), most).map_err(read_failed)
    }

    /// Returns the rejects with an id below this one, newest first.
    pub fn newest_rejects(
        &self,
        filter: &Filter,
        before: i64,
        most: usize,
    ) -> Result<Vec<StoredReject>, ReadError> {
        sqlite::rejects(&self.0, filter, PageFrom::Before(before), most).map_err(read_failed)
    }

    /// Returns the groups of all dead letters and rejects, the largest first.
    pub fn groups(&self) -> Result<Vec<Group>, ReadError> {
        sqlite::groups(&self.0).map_err(read_failed)
    }
}
