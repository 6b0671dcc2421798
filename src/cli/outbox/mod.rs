//! `outbox`: what is done to a whole outbox while no relay has it open.

mod moving;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::Config;

#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// Move waiting calls, dead letters and rejects into a new outbox; run it again if it was interrupted
    Move(MoveArgs),
}

#[derive(Debug, Args)]
pub struct MoveArgs {
    /// The outbox that is moved, as in outbox.url: sqlite:relay.db, or nats://a:4222,b:4222
    #[arg(long, value_name = "URL")]
    from: String,
    /// The new outbox
    #[arg(long, value_name = "URL")]
    to: String,
}

pub async fn run(command: OutboxCommand, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        OutboxCommand::Move(args) => moving::run(&args, config).await,
    }
}
