//! Failures in groups that have the same reason. Listing the groups costs as much as there are reasons, however many
//! failures there are.

use chrono::{DateTime, Utc};

use super::archive::Archive;
use super::handle::{Outbox, ReadError};
use super::sqlite::{self, Filter, Kind};

/// Dead letters or rejects with the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub kind: Kind,
    /// Identifies the group among those of its kind; see [`Filter::group`].
    pub key: u64,
    /// The reason's code; empty in rows of earlier versions.
    pub code: String,
    /// Of dead letters; empty for rejects.
    pub destination: String,
    /// The mapping that rejected the events or made the calls; empty if the event could not be read at all.
    pub mapping: String,
    /// The field that is wrong, of rejects.
    pub field: String,
    /// What is wrong with the field, or how the last attempt failed. Words with digits in them, such as ids, are left out.
    pub text: String,
    pub count: u64,
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    /// The number of the newest one.
    pub newest: i64,
    /// Of rejects: the source. Of dead letters: the source of the newest one.
    pub source: String,
}

impl Group {
    /// Selects the members.
    pub fn filter(&self) -> Filter {
        Filter { group: Some(self.key), ..Filter::default() }
    }
}

impl Outbox {
    /// The groups of all dead letters and rejects, the largest first.
    pub async fn groups(&self) -> Result<Vec<Group>, ReadError> {
        self.read(sqlite::groups).await
    }
}

impl Archive {
    /// As [`Outbox::groups`].
    pub fn groups(&self) -> Result<Vec<Group>, ReadError> {
        Ok(sqlite::groups(self.connection())?)
    }
}
