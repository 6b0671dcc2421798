//! Runs a command to its end, within a limit: a command that hangs fails its own test instead of blocking the whole run.

use std::process::{Command, Output};
use std::time::Duration;

/// More than the slowest command needs, the browser's, on a slow machine.
const TIME_LIMIT: Duration = Duration::from_secs(900);

/// Runs a command and returns what it printed. The command is killed if it does not end within the limit.
pub(crate) async fn output(command: Command) -> Output {
    let shown = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    let ended = tokio::time::timeout(TIME_LIMIT, command.kill_on_drop(true).output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{shown} does not end within {TIME_LIMIT:?}"));
    output.unwrap_or_else(|error| panic!("{shown} does not start: {error}"))
}
