//! `test`: sends a test event through the relay as a sender would, and shows what Accoil answers.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};

use super::print_message;
use super::relay::{RelayApi, Remote};
use crate::plain::plain;

/// The wait between two requests for the state of the event.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct TestArgs {
    /// The source to send it as [default: the only one, or the first]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The user id of the event
    #[arg(long, value_name = "ID", default_value = "relay-test")]
    user: String,
    /// The whole event as JSON, instead of a track called "Relay Test"; - reads stdin
    #[arg(long, value_name = "JSON")]
    event: Option<String>,
    /// Only show what would be sent
    #[arg(long)]
    dry_run: bool,
    /// How long to wait for Accoil's answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub async fn run(args: &TestArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let relay = args.remote.connect(file)?;
    let event = match args.event.as_deref() {
        Some("-") => Some(
            serde_json::from_reader(io::stdin().lock())
                .context("stdin is not JSON; give one event as a JSON object")?,
        ),
        Some(text) => Some(
            serde_json::from_str::<Value>(text)
                .context("--event is not JSON; give one event as a JSON object")?,
        ),
        None => None,
    };
    let request = json!({"source": args.source, "user": args.user, "event": event});
    if args.dry_run {
        let answer: Value = relay.post("/api/test", &request).await?;
        writeln!(io::stdout(), "{answer:#}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let sent: Value = relay.post("/api/test/send", &request).await?;
    let id = sent["ids"][0].as_str().map(ToOwned::to_owned);
    if !args.json {
        print_message(&format!(
            "sent to source {} by POST {}; the relay answered {}: {}",
            sent["source"].as_str().unwrap_or_default(),
            sent["path"].as_str().unwrap_or_default(),
            sent["status"],
            plain(&sent["answer"].to_string(), 500)
        ));
    }
    let Some(id) = id else {
        bail!("the relay did not accept the event: {}", plain(&sent["answer"].to_string(), 500))
    };
    let event = follow(&relay, &id, Duration::from_secs(args.wait)).await?;
    let status = event["status"].as_str().unwrap_or_default();
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{event}")?;
    } else {
        writeln!(out, "{}", super::events::format::line(&event))?;
        let (happened, to_do) = (event["happened"].as_str(), event["to_do"].as_str());
        for text in [happened, to_do].into_iter().flatten().filter(|text| !text.is_empty()) {
            writeln!(out, "  {}", plain(text, 1000))?;
        }
    }
    if status == "delivered" && !args.json {
        print_message(&format!(
            "Accoil answers 202 to a wrong key, too: `accoil-relay events verify {}` asks whether it has the user",
            plain(&args.user, 80)
        ));
    }
    Ok(if ["delivered", "held"].contains(&status) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Repeats until the event is finished, or the time is over.
async fn follow(relay: &RelayApi, id: &str, wait: Duration) -> anyhow::Result<Value> {
    let deadline = Instant::now() + wait;
    loop {
        let event = relay.fetch(&format!("/api/events/{id}")).await;
        let is_open = |event: &Value| matches!(event["status"].as_str(), Some("accepted" | "waiting"));
        match event {
            Ok(event) if !is_open(&event) || Instant::now() >= deadline => return Ok(event),
            // The history gets the event a moment after the answer.
            Err(error) if Instant::now() >= deadline => return Err(error),
            _ => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}
