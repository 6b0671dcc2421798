//! Numbers stored by name, such as the time since which a destination is paused. A restart does not change them.

use tokio::sync::oneshot;

use super::command::Command;
use super::handle::{ChangeError, Outbox, ReadError};
use super::{AcceptError, sqlite};

impl Outbox {
    /// Returns the names that begin with this text, with their values.
    pub async fn kept_values(&self, begin: &'static str) -> Result<Vec<(String, i64)>, ReadError> {
        self.read(move |reader| sqlite::values(reader, begin)).await
    }

    /// Stores a value under this name, or removes it. Returns after it is on disk.
    pub async fn keep_value(&self, name: String, value: Option<i64>) -> Result<(), ChangeError> {
        let (reply, kept) = oneshot::channel();
        self.ask(Command::KeepValue { name, value, reply })?;
        Ok(kept.await.unwrap_or(Err(AcceptError::Failed))?)
    }
}
