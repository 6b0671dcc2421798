//! `destinations`: the state of each destination; pauses, resumes and probes one.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::relay::Remote;
use super::{print_message, table};

#[derive(Debug, Subcommand)]
pub enum Destinations {
    /// List the destinations, one line each
    List(ListArgs),
    /// Make no calls to a destination until it is resumed, also after a restart; its calls wait
    Pause(NameArgs),
    /// Make calls to a paused destination again
    Resume(NameArgs),
    /// Make one call now to a destination that is paused because it failed
    Probe(NameArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub struct NameArgs {
    /// The destination's name
    #[arg(value_name = "NAME")]
    name: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub async fn run(what: Destinations, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    match what {
        Destinations::List(args) => list(&args, file).await,
        Destinations::Pause(args) => change(&args, "pause", file).await,
        Destinations::Resume(args) => change(&args, "resume", file).await,
        Destinations::Probe(args) => change(&args, "probe", file).await,
    }
}

async fn list(args: &ListArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let answer = args.remote.connect(file)?.fetch("/api/destinations").await?;
    let destinations = answer["destinations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut output = io::stdout().lock();
    if args.json {
        destinations.iter().try_for_each(|destination| writeln!(output, "{destination}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let header = ["NAME", "STATE", "DELIVERED", "RETRIED", "DEAD", "USERS WAIT", "KEY CONFIRMED", "WHY"];
    let rows: Vec<_> = destinations.iter().map(row).collect();
    table::write(&mut output, header, &rows)?;
    output.flush()?;
    if destinations.iter().any(|destination| destination["key_confirmed_at"].is_null()) {
        print_message(
            "Accoil answers 202 to a wrong key, too. A key counts as confirmed once `accoil-relay events verify USER` has found a \
             user there whose events were delivered",
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn row(destination: &Value) -> [String; 8] {
    let text = |key: &str| destination[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| destination[key].as_u64().unwrap_or_default().to_string();
    let confirmed =
        if destination["key_confirmed_at"].is_null() { "no".to_owned() } else { text("key_confirmed_at") };
    [
        text("name"),
        text("state"),
        number("delivered"),
        number("retried"),
        number("dead"),
        number("waiting_users"),
        confirmed,
        text("reason"),
    ]
}

async fn change(args: &NameArgs, what: &str, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let name = percent_encoding::utf8_percent_encode(&args.name, percent_encoding::NON_ALPHANUMERIC);
    let relay = args.remote.connect(file)?;
    let answer: Value = relay.post(&format!("/api/destinations/{name}/{what}"), &json!({})).await?;
    if args.json {
        writeln!(io::stdout(), "{answer}")?;
    } else {
        let name = &args.name;
        print_message(&match what {
            "pause" => {
                format!("{name} is paused: its calls wait until `accoil-relay destinations resume {name}`")
            }
            "resume" => format!("{name} gets calls again"),
            _ => format!("one call to {name} is made now; `accoil-relay destinations list` shows the result"),
        });
    }
    Ok(ExitCode::SUCCESS)
}
