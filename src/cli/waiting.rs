//! `waiting`: lists, shows and retries the calls that wait for delivery, and moves or removes the calls of a removed
//! destination.
//!
//! Uses the admin API of the relay at `--url`, or of the one that runs with this configuration's outbox. If none is running, the
//! command reads and changes the outbox itself.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::relay::{Owner, RelayApi, Remote};
use super::{print_message, table};
use crate::admin::api::waiting::WaitingCallView;
use crate::config::Config;
use crate::outbox::{Archive, Position, WaitingFilter};
use crate::run;

/// Calls per page.
const PAGE: usize = 200;
/// The default of --limit.
const DEFAULT_LIMIT: usize = 100;

#[derive(Debug, Subcommand)]
pub enum Waiting {
    /// List waiting calls, one line each, the oldest first
    List(ListArgs),
    /// Show everything about waiting calls, with body and event
    Show(ShowArgs),
    /// Make the next attempt of waiting calls now
    Retry(RetryArgs),
    /// Move the calls of a destination that is no longer configured to another one
    Move(MoveArgs),
    /// Remove the calls of a destination that is no longer configured, permanently
    Purge(PurgeArgs),
}

/// Selects calls. All given filters must match.
#[derive(Debug, Args)]
pub struct Choice {
    /// Only these calls, separated by commas
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    id: Vec<Position>,
    /// The destination
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// The user id
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// The event's id or its name
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    choice: Choice,
    /// The most calls to list [default: 100]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The ids that `waiting list` shows
    #[arg(value_name = "ID")]
    ids: Vec<Position>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The ids that `waiting list` shows
    #[arg(value_name = "ID")]
    ids: Vec<Position>,
    #[command(flatten)]
    choice: Choice,
    /// Required to retry all calls without a filter
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub struct MoveArgs {
    /// The destination that is no longer configured
    #[arg(long, value_name = "NAME")]
    from: String,
    /// A configured destination
    #[arg(long, value_name = "NAME")]
    to: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub struct PurgeArgs {
    /// The destination that is no longer configured
    #[arg(long, value_name = "NAME")]
    destination: String,
    #[command(flatten)]
    remote: Remote,
}

impl Choice {
    fn filter(self, mut ids: Vec<Position>) -> WaitingFilter {
        ids.extend(self.id);
        WaitingFilter { ids, destination: self.destination, user: self.user, event: self.event }
    }
}

/// Where the calls are.
enum Place {
    /// At `--url`.
    Relay(RelayApi),
    /// In the outbox of the configuration, which a relay may have open.
    Outbox(Box<Config>),
}

impl Place {
    fn of(remote: &Remote, file: Option<&Path>) -> anyhow::Result<Self> {
        if remote.is_given() {
            return Ok(Self::Relay(remote.connect(file)?));
        }
        Ok(Self::Outbox(Box::new(super::load(file)?)))
    }

    async fn owner(self) -> anyhow::Result<Owner> {
        match self {
            Self::Relay(relay) => Ok(Owner::Relay(relay)),
            Self::Outbox(config) => Owner::find(&config).await,
        }
    }
}

pub async fn run(what: Waiting, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    match what {
        Waiting::List(args) => list(args, file).await,
        Waiting::Show(args) => show(args, file).await,
        Waiting::Retry(args) => retry(args, file).await,
        Waiting::Move(args) => {
            change_orphaned(Place::of(&args.remote, file)?, "move", &args.from, Some(&args.to)).await
        }
        Waiting::Purge(args) => {
            change_orphaned(Place::of(&args.remote, file)?, "purge", &args.destination, None).await
        }
    }
}

async fn list(args: ListArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let place = Place::of(&args.remote, file)?;
    let found =
        read(&place, &args.choice.filter(Vec::new()), args.limit.unwrap_or(DEFAULT_LIMIT), false).await?;
    let mut output = io::BufWriter::new(io::stdout().lock());
    if args.json {
        for call in &found.calls {
            writeln!(output, "{call}")?;
        }
    } else {
        let header =
            ["ID", "EVENT-ID", "EVENT", "USER", "DESTINATION", "ATTEMPTS", "WAITS FOR", "LAST REASON"];
        let rows: Vec<_> = found.calls.iter().map(row).collect();
        table::write(&mut output, header, &rows)?;
    }
    output.flush()?;
    if found.is_cut {
        print_message("there are more calls: increase --limit");
    }
    print_states(&found.destinations);
    Ok(ExitCode::SUCCESS)
}

fn row(call: &Value) -> [String; 8] {
    let text = |key: &str| call[key].as_str().unwrap_or_default().to_owned();
    let attempts = call["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let waits_for = match call["waiting_for"].as_str() {
        Some("retry") => text("next_attempt_at"),
        Some("earlier") => format!("call {}", call["behind"]["id"].as_str().unwrap_or_default()),
        Some("damaged") => "nothing: damaged on the disk".to_owned(),
        _ => "its turn".to_owned(),
    };
    let reason = attempts.last().and_then(|last| last["reason"].as_str()).unwrap_or_default();
    [
        text("id"),
        text("event_id"),
        text("event"),
        text("user"),
        text("destination"),
        attempts.len().to_string(),
        waits_for,
        reason.to_owned(),
    ]
}

async fn show(args: ShowArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let place = Place::of(&args.remote, file)?;
    let filter = args.choice.filter(args.ids);
    let found = read(&place, &filter, usize::MAX, true).await?;
    let mut output = io::BufWriter::new(io::stdout().lock());
    for call in &found.calls {
        writeln!(output, "{call:#}")?;
    }
    output.flush()?;
    let shown = |id: &Position| found.calls.iter().any(|call| call["id"] == id.to_string());
    let missing: Vec<_> = filter.ids.iter().filter(|id| !shown(id)).collect();
    for id in &missing {
        print_message(&format!(
            "call {id} is not waiting: it was delivered, became a dead letter, or never existed; `accoil-relay waiting list` shows those that wait"
        ));
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn retry(args: RetryArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let filter = args.choice.filter(args.ids);
    let is_everything = filter.ids.is_empty()
        && filter.destination.is_none()
        && filter.user.is_none()
        && filter.event.is_none();
    if is_everything && !args.all {
        bail!("name the calls by id, --user, --event or --destination, or give --all");
    }
    let users = match Place::of(&args.remote, file)?.owner().await? {
        Owner::Relay(relay) => {
            let answer: Value = relay.post("/api/waiting/retry", &filter).await?;
            print_states(answer["destinations"].as_array().map(Vec::as_slice).unwrap_or_default());
            answer["users"].as_u64().unwrap_or_default()
        }
        Owner::Command(outbox) => {
            let users = outbox.retry(&filter).await;
            outbox.close().await;
            users? as u64
        }
    };
    if users == 0 {
        print_message("no waiting call matches: `accoil-relay waiting list` shows those that wait");
        // A filter may match nothing, but an id names a call.
        return Ok(if filter.ids.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let users = if users == 1 { "1 user".to_owned() } else { format!("{users} users") };
    print_message(&format!("the waiting calls of {users} are due now"));
    Ok(ExitCode::SUCCESS)
}

/// Moves or removes the calls of a destination that is not configured, page by page.
async fn change_orphaned(place: Place, what: &str, from: &str, to: Option<&str>) -> anyhow::Result<ExitCode> {
    let known: Vec<String> = match &place {
        // It knows its destinations itself.
        Place::Relay(_) => Vec::new(),
        Place::Outbox(config) => config.destinations.iter().map(|section| section.name.clone()).collect(),
    };
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut changed = 0;
    match place.owner().await? {
        Owner::Relay(relay) => loop {
            let body = json!({"from": from, "to": to});
            let answer: Value = relay.post(&format!("/api/waiting/{what}"), &body).await?;
            changed += answer["calls"].as_u64().unwrap_or_default();
            if answer["is_last"] != false {
                break;
            }
        },
        Owner::Command(outbox) => {
            let mut outcome = Ok(());
            loop {
                match outbox.change_orphaned(from, to, &known).await {
                    Ok(step) => {
                        changed += step.calls as u64;
                        if step.is_last {
                            break;
                        }
                    }
                    Err(error) => {
                        outcome = Err(error);
                        break;
                    }
                }
            }
            outbox.close().await;
            outcome?;
        }
    }
    match to {
        Some(to) => print_message(&format!("{changed} calls moved from {from} to {to}")),
        None => print_message(&format!("{changed} calls of {from} removed")),
    }
    Ok(ExitCode::SUCCESS)
}

/// The waiting calls, as JSON.
struct StoredCalls {
    calls: Vec<Value>,
    /// Whether there are more calls than requested.
    is_cut: bool,
    /// The state of each destination; empty if no relay is running.
    destinations: Vec<Value>,
}

async fn read(
    place: &Place,
    filter: &WaitingFilter,
    most: usize,
    payload: bool,
) -> anyhow::Result<StoredCalls> {
    let config = match place {
        Place::Relay(relay) => {
            let found = read_from_relay(relay, filter, most, payload).await?;
            return found.with_context(|| relay.is_missing());
        }
        Place::Outbox(config) => config,
    };
    if let Some(relay) = RelayApi::find(config)?
        && let Some(found) = read_from_relay(&relay, filter, most, payload).await?
    {
        return Ok(found);
    }
    let archive = Archive::open(config.outbox.url.file()?)?;
    let redactor = run::redactor(config);
    let mut found = StoredCalls { calls: Vec::new(), is_cut: false, destinations: Vec::new() };
    let mut after = None;
    loop {
        let page = archive.waiting(filter, after, PAGE.min(most - found.calls.len()))?;
        for call in &page.calls {
            found.calls.push(serde_json::to_value(WaitingCallView::new(call, payload, &redactor))?);
        }
        after = page.next;
        found.is_cut = after.is_some();
        if after.is_none() || found.calls.len() >= most {
            return Ok(found);
        }
    }
}

/// `None` if the relay has stopped.
async fn read_from_relay(
    relay: &RelayApi,
    filter: &WaitingFilter,
    most: usize,
    payload: bool,
) -> anyhow::Result<Option<StoredCalls>> {
    let mut found = StoredCalls { calls: Vec::new(), is_cut: false, destinations: Vec::new() };
    let mut after = Value::Null;
    loop {
        let path = path(filter, after.as_str(), PAGE.min(most - found.calls.len()), payload);
        let Some(mut page) = relay.get::<Value>(&path).await? else { return Ok(None) };
        if let Value::Array(calls) = page["calls"].take() {
            found.calls.extend(calls);
        }
        if let Value::Array(destinations) = page["destinations"].take() {
            found.destinations = destinations;
        }
        after = page["next"].take();
        found.is_cut = !after.is_null();
        if after.is_null() || found.calls.len() >= most {
            return Ok(Some(found));
        }
    }
}

fn path(filter: &WaitingFilter, after: Option<&str>, most: usize, payload: bool) -> String {
    let ids: Vec<String> = filter.ids.iter().map(Position::to_string).collect();
    let ids = (!ids.is_empty()).then(|| ids.join(","));
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (key, value) in [
        ("id", ids.as_deref()),
        ("destination", filter.destination.as_deref()),
        ("user", filter.user.as_deref()),
        ("event", filter.event.as_deref()),
        ("after", after),
        ("most", Some(most.to_string().as_str())),
        ("payload", Some(if payload { "true" } else { "false" })),
    ] {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    format!("/api/waiting?{}", query.finish())
}

/// Prints the state of each destination that is failing.
fn print_states(destinations: &[Value]) {
    for destination in destinations {
        let text = |key: &str| destination[key].as_str().unwrap_or_default();
        if text("state") != "ok" {
            let (name, state, reason) = (text("name"), text("state"), text("reason"));
            print_message(&format!(
                "destination {name} is {state}: {reason}; its calls wait until it answers again"
            ));
        }
    }
}
