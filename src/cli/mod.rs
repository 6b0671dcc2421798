//! The command line, one file per command. Data goes to stdout and messages to stderr; the exit codes are in
//! `docs/operations.md#exit-codes`.

pub mod accounts;
pub mod backup;
pub mod check;
pub mod config;
pub mod dead_letters;
#[cfg(feature = "sandbox")]
pub mod demo;
pub mod destinations;
mod documents;
mod error;
pub mod eval;
pub mod events;
pub mod explain;
pub mod failures;
pub mod healthcheck;
pub mod import;
pub mod map;
pub mod outbox;
mod relay;
pub mod replay;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod serve;
pub mod sync;
mod table;
pub mod test;
pub mod test_connection;
pub mod top;
pub mod vitally;
pub mod waiting;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use error::{exit_code, is_broken_pipe};

use crate::config::{Config, Environment};
use crate::fault::Faults;

/// Receives Segment and Amplitude events and delivers them to Accoil.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file [default: `ACCOIL_RELAY_CONFIG`, or accoil-relay.toml; with neither, only `ACCOIL_API_KEY`]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay until SIGTERM or Ctrl-C
    Serve(serve::ServeArgs),
    #[cfg(feature = "sandbox")]
    /// Try it out: sends sample events through the relay to a stand-in for Accoil
    Demo(demo::DemoArgs),
    #[cfg(feature = "sandbox")]
    /// Run only the stand-in for Accoil and Vitally
    Sandbox(sandbox::SandboxArgs),
    /// Show every fault and warning of the configuration and the mappings, then the mappings in force
    Check(check::CheckArgs),
    /// Dry run: show what each event in files or stdin would become
    Map(map::MapArgs),
    /// Import old events from files, as if their source had posted them; run it again if it was interrupted
    Import(import::ImportArgs),
    /// Run the mapping language alone, on a stream of lines
    #[command(subcommand)]
    Eval(eval::Eval),
    /// Send a test event through the running relay, and show what Accoil answers
    Test(test::TestArgs),
    /// Check that each destination is reachable and accepts the form of the key
    TestConnection,
    /// Show what became of events, live too, and whether Accoil has their users
    #[command(subcommand)]
    Events(events::Events),
    /// Show rates, destinations and failures on the terminal, live
    Top(top::TopArgs),
    /// Show how each destination is doing; pause, resume or probe one
    #[command(subcommand)]
    Destinations(destinations::Destinations),
    /// List, show, retry, move or purge the calls that wait for delivery
    #[command(subcommand)]
    Waiting(waiting::Waiting),
    /// Show what could not be delivered or mapped, by reason
    Failures(failures::FailuresArgs),
    /// Send failures or past events again as a job of the running relay; try it dry, follow, pause or resume it
    Replay(replay::ReplayArgs),
    /// List, show, export, replay or purge what could not be delivered or mapped
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// Read accounts and their scores from Accoil
    #[command(subcommand)]
    Accounts(accounts::Accounts),
    /// Read and write Vitally's accounts
    #[command(subcommand)]
    Vitally(vitally::Vitally),
    /// Sync accounts from Vitally to Accoil, or scores from Accoil to Vitally
    #[command(subcommand)]
    Sync(sync::Sync),
    /// Show the effective configuration, or write a first one
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Move the outbox to another place while no relay runs
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    /// Copy the outbox to a file, also while the relay runs
    Backup(backup::BackupArgs),
    /// Show what a reason code means and what to do
    Explain(explain::ExplainArgs),
    /// Exit 0 if the relay on this machine accepts events; for containers
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Print the command-line completions for a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the effective configuration with its secrets hidden
    Show,
    /// Write a first configuration that explains every key; never overwrites a file
    Init {
        /// The file to write; - is stdout
        #[arg(default_value = "accoil-relay.toml")]
        file: PathBuf,
    },
}

/// Runs the command and returns its exit code.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Serve(args) => serve::run(&args, &load(file)?).await,
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => demo::run(args).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => sandbox::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check(&args, file),
        Command::Eval(what) => eval::run(what),
        Command::Map(args) => map::run(&args, file),
        Command::Import(args) => import::run(&args, &load(file)?).await,
        Command::Test(args) => test::run(&args, file).await,
        Command::Events(what) => events::run(what, file).await,
        Command::Destinations(what) => destinations::run(what, file).await,
        Command::Top(args) => top::run(&args, file).await,
        Command::TestConnection => test_connection::run(&load(file)?).await,
        Command::Waiting(what) => waiting::run(what, file).await,
        Command::Failures(args) => failures::run(&args, file).await,
        Command::Replay(args) => replay::run(&args, file).await,
        Command::DeadLetters(what) => dead_letters::run(what, &load(file)?).await,
        Command::Accounts(what) => accounts::run(what, &load(file)?).await,
        Command::Vitally(what) => vitally::run(what, file).await,
        Command::Sync(what) => sync::run(what, &load(file)?).await,
        Command::Config(ConfigCommand::Show) => {
            config::show(&load(file)?, &mut io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Config(ConfigCommand::Init { file }) => config::init(&file),
        Command::Outbox(what) => outbox::run(what, &load(file)?).await,
        Command::Backup(args) => backup::run(&args, &load(file)?),
        Command::Explain(args) => explain::run(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "accoil-relay", &mut io::stdout().lock());
            Ok(ExitCode::SUCCESS)
        }
        Command::Healthcheck(args) => healthcheck::run(&args, file).await,
    }
}

fn load(file: Option<&Path>) -> anyhow::Result<Config> {
    Ok(Config::load(file, &Environment::of_process())?)
}

fn check(args: &check::CheckArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let out = &mut io::stdout().lock();
    if args.schema {
        check::print_schema(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let passed = check::run(args, file, &Environment::of_process(), out)?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(Faults::EXIT_CODE) })
}

/// Prints a message to stderr. Ignores write errors: stderr may be closed.
fn print_message(text: &str) {
    use io::Write as _;
    let _ = writeln!(io::stderr(), "{text}");
}
