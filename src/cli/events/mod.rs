//! `events`: what became of events: a list, one event, a live view, and whether Accoil has their users.

pub(super) mod format;
mod show;
mod tail;
mod verify;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::relay::{RelayApi, Remote, path_with};
use super::{print_message, table};

/// The most events of one request.
const PAGE: usize = 500;
/// The default of --limit.
const DEFAULT_LIMIT: usize = 50;

#[derive(Debug, Subcommand)]
pub enum Events {
    /// List events, one line each, the newest first
    List(ListArgs),
    /// Show what became of an event, why, and what to do
    Show(ShowArgs),
    /// Show events as they come
    Tail(TailArgs),
    /// Ask Accoil whether it knows a user or an account
    Verify(verify::VerifyArgs),
}

/// Selects events. All given filters must match.
#[derive(Debug, Clone, Default, Args)]
pub struct Choice {
    /// accepted, delivered, held, waiting, dead, rejected, skipped or duplicate; several with commas between
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// The source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// A destination of its calls
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// track, identify, group, page, screen or alias
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// The event's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The user id
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// The group id
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// The event's `messageId` or `insert_id`
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// A mapping that made a call of it or refused it
    #[arg(long, value_name = "NAME")]
    mapping: Option<String>,
    /// A part of the reason's text
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The code of a reason, such as reject.missing
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// A part of the event, of a call's body, or of an answer
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// An event id, a user id, a message id or a group id
    #[arg(long, value_name = "ID")]
    any: Option<String>,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    choice: Choice,
    /// Received at this time or later: RFC 3339, a date, or how long ago, such as 2h
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Received before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The most events to list
    #[arg(long, value_name = "NUMBER", default_value_t = DEFAULT_LIMIT)]
    limit: usize,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The event's id, its message id, or a user or group id
    #[arg(value_name = "ID")]
    id: String,
    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub struct TailArgs {
    #[command(flatten)]
    choice: Choice,
    /// Stop after this many events
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Choice {
    fn parameters(&self) -> Vec<(&'static str, Option<&str>)> {
        [
            ("status", &self.status),
            ("source", &self.source),
            ("destination", &self.destination),
            ("type", &self.kind),
            ("name", &self.name),
            ("user", &self.user),
            ("group", &self.group),
            ("message_id", &self.message_id),
            ("mapping", &self.mapping),
            ("reason", &self.reason),
            ("code", &self.code),
            ("text", &self.text),
            ("any", &self.any),
        ]
        .map(|(name, value)| (name, value.as_deref()))
        .to_vec()
    }
}

pub async fn run(what: Events, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    match what {
        Events::List(args) => list(&args, &args.remote.connect(file)?).await,
        Events::Show(args) => show::run(&args.id, args.json, &args.remote.connect(file)?).await,
        Events::Tail(args) => {
            let path = path_with("/api/live", &args.choice.parameters());
            tail::run(&args.remote.connect(file)?, &path, args.limit, args.json).await
        }
        Events::Verify(args) => verify::run(&args, file).await,
    }
}

async fn list(args: &ListArgs, relay: &RelayApi) -> anyhow::Result<ExitCode> {
    let mut parameters = args.choice.parameters();
    parameters.extend([("from", args.since.as_deref()), ("to", args.until.as_deref())]);
    let (events, is_more) = pages(relay, &parameters, args.limit).await?;
    let mut output = io::BufWriter::new(io::stdout().lock());
    if args.json {
        events.iter().try_for_each(|event| writeln!(output, "{event}"))?;
    } else {
        let rows: Vec<_> = events.iter().map(format::cells).collect();
        table::write(&mut output, format::HEADER, &rows)?;
    }
    output.flush()?;
    if events.is_empty() {
        print_message("no event matches; `accoil-relay events list` without filters lists the newest ones");
    }
    if is_more {
        print_message("there are more events: increase --limit");
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the first events, and whether there are more.
async fn pages(
    relay: &RelayApi,
    parameters: &[(&'static str, Option<&str>)],
    limit: usize,
) -> anyhow::Result<(Vec<Value>, bool)> {
    let (mut events, mut before) = (Vec::new(), None::<String>);
    loop {
        let most = PAGE.min(limit - events.len()).max(1).to_string();
        let mut all = parameters.to_vec();
        all.extend([("before", before.as_deref()), ("most", Some(most.as_str()))]);
        let mut page = relay.fetch(&path_with("/api/events", &all)).await?;
        if let Value::Array(found) = page["events"].take() {
            events.extend(found);
        }
        before = page["next"].as_str().map(ToOwned::to_owned);
        if before.is_none() || events.len() >= limit {
            events.truncate(limit);
            return Ok((events, before.is_some()));
        }
    }
}
