//! `failures`: what could not be delivered or mapped, grouped by reason, the most frequent first.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::relay::{RelayApi, Remote};
use super::{print_message, table};
use crate::plain::plain;

#[derive(Debug, Args)]
pub struct FailuresArgs {
    /// The key of a reason, as the list shows it. Shows when its events came, and the newest of them
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub async fn run(args: &FailuresArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let relay = args.remote.connect(file)?;
    match &args.key {
        Some(key) => one(key, args.json, &relay).await,
        None => list(args.json, &relay).await,
    }
}

async fn list(json: bool, relay: &RelayApi) -> anyhow::Result<ExitCode> {
    let answer = relay.fetch("/api/failures").await?;
    let groups = answer["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut out = io::BufWriter::new(io::stdout().lock());
    if json {
        groups.iter().try_for_each(|group| writeln!(out, "{group}"))?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let header = ["KEY", "COUNT", "KIND", "CODE", "FIRST", "LAST", "WHAT"];
    let rows: Vec<_> = groups.iter().map(row).collect();
    table::write(&mut out, header, &rows)?;
    out.flush()?;
    let count = |key: &str| answer[key]["count"].as_u64().unwrap_or_default();
    print_message(&format!(
        "{} rejects, {} dead letters, {} calls wait, {} requests were refused since the start",
        count("rejects"),
        count("dead_letters"),
        count("waiting"),
        answer["turned_away"]
    ));
    Ok(ExitCode::SUCCESS)
}

fn row(group: &Value) -> [String; 7] {
    let text = |key: &str| group[key].as_str().unwrap_or_default().to_owned();
    [
        text("key"),
        group["count"].to_string(),
        text("kind"),
        text("code"),
        text("first"),
        text("last"),
        text("title"),
    ]
}

async fn one(key: &str, json: bool, relay: &RelayApi) -> anyhow::Result<ExitCode> {
    let key = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC);
    let group = relay.fetch(&format!("/api/failures/{key}")).await?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    if json {
        writeln!(out, "{group}")?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |key: &str| plain(group[key].as_str().unwrap_or_default(), 600);
    writeln!(out, "{} times: {}  {}", group["count"], text("title"), text("code"))?;
    writeln!(out, "  first {}, last {}", text("first"), text("last"))?;
    for (label, key) in [("What happened", "happened"), ("What to do", "to_do")] {
        writeln!(out, "{label}: {}", plain(group["reason"][key].as_str().unwrap_or_default(), 600))?;
    }
    writeln!(out, "\nBy name:")?;
    for name in group["by_name"].as_array().into_iter().flatten() {
        writeln!(
            out,
            "  {:>8}  {}",
            name["count"].to_string(),
            plain(name["name"].as_str().unwrap_or_default(), 100)
        )?;
    }
    writeln!(out, "\nThe newest:\n")?;
    for event in group["events"].as_array().into_iter().flatten() {
        writeln!(out, "{}", super::events::format::line(event))?;
    }
    out.flush()?;
    let key = group["key"].as_str().unwrap_or_default();
    print_message(&format!("send them again with `accoil-relay replay --group {key}`"));
    Ok(ExitCode::SUCCESS)
}
