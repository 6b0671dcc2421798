//! The command line: one file a command. stdout is data, stderr is talk; exit codes as in DESIGN 4.

pub mod accounts;
pub mod check;
pub mod config;
pub mod dead_letters;
pub mod demo;
mod documents;
mod error;
pub mod eval;
pub mod healthcheck;
pub mod map;
mod relay;
pub mod sandbox;
pub mod serve;
pub mod sync;
mod table;
pub mod test_connection;
pub mod vitally;
pub mod waiting;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use error::{exit_code, is_hung_up};

use crate::config::{Config, Environment};
use crate::fault::Faults;

/// The destination service for Accoil: Segment and Amplitude events in, Accoil calls out.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// The configuration; else `ACCOIL_RELAY_CONFIG`, else accoil-relay.toml here, else `ACCOIL_API_KEY` alone
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay until SIGTERM or Ctrl-C
    Serve(serve::ServeArgs),
    /// See it work: a stand-in Accoil, the relay, and sample events through both
    Demo(demo::DemoArgs),
    /// Run the stand-in Accoil alone
    Sandbox(sandbox::SandboxArgs),
    /// Show every fault and warning of the configuration and the mappings, then the mappings in force
    Check(check::CheckArgs),
    /// Dry run: what each event of files or of stdin would become
    Map(map::MapArgs),
    /// Try the mapping language by itself on a stream of lines
    #[command(subcommand)]
    Eval(eval::Eval),
    /// Ask each destination whether it is reachable and takes the form of the key
    TestConnection,
    /// The calls that wait to be delivered: list, show, retry, move or purge them
    #[command(subcommand)]
    Waiting(waiting::Waiting),
    /// What could not be delivered or mapped: list, show, export, replay or purge it
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// Accounts as Accoil scores them
    #[command(subcommand)]
    Accounts(accounts::Accounts),
    /// Vitally's accounts: read and write them
    #[command(subcommand)]
    Vitally(vitally::Vitally),
    /// Keep Vitally's accounts and Accoil's in step, one way or the other
    #[command(subcommand)]
    Sync(sync::Sync),
    /// Show the configuration in force, or write a first one
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Exit 0 if the relay on this machine takes events; for containers
    Healthcheck,
    /// Print the completions of the command line for a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the configuration in force, its secrets hidden
    Show,
    /// Write a configuration to start from, which explains every key; never over a file that is there
    Init {
        /// Where; - is stdout
        #[arg(default_value = "accoil-relay.toml")]
        file: PathBuf,
    },
}

/// Runs a command line to its end.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Serve(args) => serve::run(&args, &load(file)?).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Sandbox(args) => sandbox::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check(&args, file),
        Command::Eval(what) => eval::run(what),
        Command::Map(args) => map::run(&args, file),
        Command::TestConnection => test_connection::run(&load(file)?).await,
        Command::Waiting(what) => waiting::run(what, &load(file)?).await,
        Command::DeadLetters(what) => dead_letters::run(what, &load(file)?).await,
        Command::Accounts(what) => accounts::run(what, &load(file)?).await,
        Command::Vitally(what) => vitally::run(what, file).await,
        Command::Sync(what) => sync::run(what, &load(file)?).await,
        Command::Config(ConfigCommand::Show) => {
            config::show(&load(file)?, &mut io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Config(ConfigCommand::Init { file }) => config::init(&file),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "accoil-relay", &mut io::stdout().lock());
            Ok(ExitCode::SUCCESS)
        }
        Command::Healthcheck => healthcheck::run(&load(file)?).await,
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

/// Talk, on stderr: nobody is harmed if it is closed.
fn say(text: &str) {
    use io::Write as _;
    let _ = writeln!(io::stderr(), "{text}");
}
