//! Numbers kept by name, such as since when a destination is paused: a restart changes none of them.

use tokio::sync::oneshot;

use super::command::Command;
use super::handle::{ChangeError, Outbox, ReadError};
use super::{AcceptError, sqlite};

impl Outbox {
    /// The names that begin so, with their values.
    pub async fn kept_values(&self, begin: &'static str) -> Result<Vec<(String, i64)>, ReadError> {
        self.read(move |reader| sqlite::values(reader, begin)).await
    }

    /// Keeps a value under this name, or nothing any more. Returns after it is on disk.
    pub async fn keep_value(&self, name: String, value: Option<i64>) -> Result<(), ChangeError> {
        let (reply, kept) = oneshot::channel();
        self.ask(Command::KeepValue { name, value, reply })?;
        Ok(kept.await.unwrap_or(Err(AcceptError::Failed))?)
    }
}
