//! What could not be delivered, in groups that have the same reason.

use chrono::{DateTime, Utc};

use super::archive::Archive;
use super::handle::ReadError;
use super::sqlite::{self, Filter, Kind};

/// Failures with the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub kind: Kind,
    /// The reason's code.
    pub code: String,
    /// Of dead letters; empty for rejects.
    pub destination: String,
    /// The mapping that refused the events, or made the calls; empty if the event could not be read at all.
    pub mapping: String,
    /// The field that was wrong, of rejects.
    pub field: String,
    /// What is wrong with the field, or how the last attempt failed.
    pub text: String,
    pub count: u64,
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    /// The newest one's number.
    pub newest: i64,
    pub sources: Vec<String>,
}

impl Group {
    /// The filter that selects its members: their reasons have this part.
    pub fn filter(&self) -> Filter {
        let json = |text: &str| serde_json::Value::from(text).to_string();
        let text = json(&self.text);
        match self.kind {
            Kind::Reject => {
                let (mapping, field) = (json(&self.mapping), json(&self.field));
                let reason = format!("[{{\"mapping\":{mapping},\"field\":{field},\"reason\":{text}");
                Filter { reason: Some(reason), ..Filter::default() }
            }
            Kind::DeadLetter => Filter {
                reason: Some(format!("\"reason\":{text}")),
                destination: Some(self.destination.clone()),
                ..Filter::default()
            },
        }
    }
}

impl Archive {
    /// The groups of the newest failures, and whether there were too many to look at all.
    pub fn groups(&self) -> Result<(Vec<Group>, bool), ReadError> {
        let groups = sqlite::groups(self.connection())?;
        let is_cut = Kind::ALL.into_iter().any(|kind| {
            let of_kind = groups.iter().filter(|group| group.kind == kind).map(|group| group.count);
            of_kind.sum::<u64>() >= u64::from(sqlite::MOST_ROWS)
        });
        Ok((groups, is_cut))
    }
}
