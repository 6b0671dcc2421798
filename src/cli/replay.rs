//! `replay`: sends failures or past events again, as a job of the running relay that can be tried dry, followed, paused and resumed.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::error::UsageError;
use super::relay::{RelayApi, Remote, failure_number, job_number};
use super::{print_message, table};
use crate::admin::moment::Moment;
use crate::event_id::EventId;
use crate::plain::plain;
use crate::replay::MAX_RATE;

/// The wait between two requests for the state of a job.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ReplayArgs {
    #[command(subcommand)]
    what: Option<Replay>,
    #[command(flatten)]
    start: StartArgs,
}

#[derive(Debug, Subcommand)]
enum Replay {
    /// All jobs, the newest first
    List(ListArgs),
    /// Show one job; with --follow until it ends
    Show(JobArgs),
    /// Pause a job until it is resumed, also after a restart
    Pause(JobArgs),
    /// Resume a job
    Resume(JobArgs),
    /// Cancel a job; what it has done stays done
    Cancel(JobArgs),
}

/// What to send again, and how.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "options of a command line")]
struct StartArgs {
    /// Rejects: events that no mapping could use
    #[arg(long, group = "selection")]
    rejects: bool,
    /// Dead letters: calls that Accoil refused for good
    #[arg(long, group = "selection")]
    dead_letters: bool,
    /// A group, by the key that `accoil-relay failures` shows
    #[arg(long, value_name = "KEY", group = "selection")]
    group: Option<String>,
    /// Past events of the history: those that were delivered, held or skipped
    #[arg(long, group = "selection")]
    events: bool,
    /// With --events: those of the archive, too
    #[arg(long, requires = "events")]
    archive: bool,
    /// With --events, only these: delivered, held, skipped, separated by commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',', requires = "events")]
    status: Vec<String>,
    /// Only these numbers, separated by commas
    #[arg(long = "id", value_name = "NUMBER", value_delimiter = ',', value_parser = failure_number)]
    ids: Vec<i64>,
    /// Only this user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Only this event, by its id or name
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Only with this part in the reason
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only calls to this destination
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only from this time on: 2h, 2026-01-31, 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Only up to this time
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Send dead letters and delivered events as they were, instead of through the mappings in force
    #[arg(long)]
    as_sent: bool,
    /// Only calls of these mappings, separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    mappings: Vec<String>,
    /// Events per second, at most 10,000
    #[arg(long, value_name = "NUMBER", value_parser = rate)]
    rate: Option<u32>,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
    /// Print JSON objects
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
struct JobArgs {
    /// The job's number
    #[arg(value_name = "JOB", value_parser = job_number)]
    id: i64,
    /// Wait for its end
    #[arg(long)]
    follow: bool,
    /// Print JSON objects
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

fn rate(text: &str) -> Result<u32, String> {
    let rate = text.parse().ok().filter(|rate| (1..=MAX_RATE).contains(rate));
    rate.ok_or_else(|| format!("write a number from 1 to {MAX_RATE}"))
}

pub async fn run(args: &ReplayArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let (job, what) = match &args.what {
        None => return start(&args.start, file).await,
        Some(Replay::List(args)) => return list(args, file).await,
        Some(Replay::Show(args)) => (args, None),
        Some(Replay::Pause(args)) => (args, Some("pause")),
        Some(Replay::Resume(args)) => (args, Some("resume")),
        Some(Replay::Cancel(args)) => (args, Some("cancel")),
    };
    let relay = job.remote.connect(file)?;
    let path = format!("/api/replays/{}", job.id);
    let answer = match what {
        Some(what) => relay.post(&format!("{path}/{what}"), &json!({})).await?,
        None => relay.fetch(&path).await?,
    };
    if job.follow {
        return follow(&relay, answer, job.json).await;
    }
    show(&answer, job.json)?;
    Ok(ExitCode::SUCCESS)
}

async fn start(args: &StartArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    check(args)?;
    let relay = args.remote.connect(file)?;
    let select = select(args, &relay).await?;
    let how = if args.as_sent { "as_sent" } else { "mappings" };
    let mut request =
        json!({"select": select, "how": how, "mappings": args.mappings, "rate": args.rate, "dry_run": true});
    let dry: Value = relay.post("/api/replays", &request).await?;
    if args.dry_run {
        show_dry(&dry, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    if dry["expect"] == 0 {
        print_message("nothing is selected: nothing to send again");
        return Ok(ExitCode::SUCCESS);
    }
    request["dry_run"] = false.into();
    request["expect"] = dry["expect"].clone();
    request["up_to"] = dry["up_to"].clone();
    let job: Value = relay.post("/api/replays", &request).await?;
    if args.detach {
        show(&job, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    follow(&relay, job, args.json).await
}

/// Refuses what no relay can do, before one is looked for.
fn check(args: &StartArgs) -> Result<(), UsageError> {
    let advice = if !(args.rejects || args.dead_letters || args.events || args.group.is_some()) {
        "say what to send again: --rejects, --dead-letters, --events, or --group KEY of `accoil-relay failures`"
    } else if args.rejects && args.as_sent {
        "rejects were never sent, so they cannot be sent as they were: leave out --as-sent"
    } else if args.events && !args.ids.is_empty() {
        "past events have no numbers: name one with --event and its id"
    } else {
        return Ok(());
    };
    Err(UsageError(advice.to_owned()))
}

async fn select(args: &StartArgs, relay: &RelayApi) -> anyhow::Result<Value> {
    let mut select = match &args.group {
        Some(key) => {
            let key = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC);
            relay.fetch(&format!("/api/failures/{key}")).await?["select"].take()
        }
        None if args.events => return Ok(select_events(args)),
        None if args.dead_letters => json!({"kind": "dead-letter", "filter": {}}),
        None => json!({"kind": "reject", "filter": {}}),
    };
    set(&mut select["filter"], args, &["event", "since", "until"]);
    if !args.ids.is_empty() {
        select["ids"] = args.ids.clone().into();
    }
    Ok(select)
}

fn select_events(args: &StartArgs) -> Value {
    let is_id = args.event.as_ref().is_some_and(|event| event.parse::<EventId>().is_ok());
    let mut filter = json!({"status": args.status});
    set(&mut filter, args, &[if is_id { "any" } else { "name" }, "from", "to"]);
    json!({"kind": "event", "filter": filter, "archive": args.archive})
}

/// Sets the conditions that are given. `names` are those of the event and of the two times, which differ.
fn set(filter: &mut Value, args: &StartArgs, names: &[&str; 3]) {
    let [event, since, until] = *names;
    let time = |moment: &Option<Moment>| moment.map(|moment| moment.0.to_rfc3339());
    for (name, value) in [
        ("user", args.user.clone()),
        (event, args.event.clone()),
        ("reason", args.reason.clone()),
        ("destination", args.destination.clone()),
        ("source", args.source.clone()),
        (since, time(&args.since)),
        (until, time(&args.until)),
    ] {
        if let Some(value) = value {
            filter[name] = value.into();
        }
    }
}

async fn list(args: &ListArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let answer = args.remote.connect(file)?.fetch("/api/replays").await?;
    let jobs = answer["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut out = io::stdout().lock();
    if args.json {
        jobs.iter().try_for_each(|job| writeln!(out, "{job}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let header = ["JOB", "KIND", "STATE", "DONE", "OF", "NOT SENT", "STARTED", "NOTE"];
    let row = |job: &Value| {
        let text = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| job[key].to_string();
        let (id, done, of, failed) = (number("id"), number("done"), number("expect"), number("failed"));
        [id, text("kind"), text("state"), done, of, failed, text("at"), text("note")]
    };
    let rows: Vec<_> = jobs.iter().map(row).collect();
    table::write(&mut out, header, &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a job whenever it has progressed, until it ends. Ctrl-C leaves the job running.
async fn follow(relay: &RelayApi, mut job: Value, json: bool) -> anyhow::Result<ExitCode> {
    loop {
        show(&job, json)?;
        match job["state"].as_str() {
            Some("running") => {}
            Some("done") => {
                let is_whole = job["failed"] == 0;
                return Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            _ => return Ok(ExitCode::FAILURE),
        }
        let before = job.clone();
        while job == before {
            tokio::time::sleep(LOOK_AGAIN).await;
            job = relay.fetch(&format!("/api/replays/{}", before["id"])).await?;
        }
    }
}

fn show(job: &Value, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        return writeln!(out, "{job}");
    }
    let text = |key: &str| plain(job[key].as_str().unwrap_or_default(), 300);
    let refused = match &job["order"]["select"]["kind"] {
        _ if job["failed"] == 0 => String::new(),
        kind if kind == "event" => format!(", {} not sent", job["failed"]),
        _ => format!(", {} still refused", job["failed"]),
    };
    let note = if text("note").is_empty() { String::new() } else { format!(": {}", text("note")) };
    writeln!(
        out,
        "{} {} is {}: {} of {} done{refused}{note}",
        text("kind"),
        job["id"],
        text("state"),
        job["done"],
        job["expect"]
    )
}

fn show_dry(dry: &Value, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        return writeln!(out, "{dry}");
    }
    writeln!(
        out,
        "{} selected: {} would be sent as they were, {} differently, {} would still be refused, {} have lost their source or mapping",
        dry["expect"], dry["same"], dry["different"], dry["refused"], dry["gone"]
    )?;
    for (count, what) in [
        ("not_kept", "cannot be sent: what they held is not kept"),
        ("redacted", "cannot be sent: their hidden values were not stored"),
        ("unreadable_blocks", "blocks of the history are damaged; their events are not counted"),
        ("unreadable_files", "files of the archive are damaged; their other events are not counted"),
    ] {
        if dry[count].as_u64().is_some_and(|count| count > 0) {
            writeln!(out, "{} {what}", dry[count])?;
        }
    }
    for example in dry["examples"].as_array().into_iter().flatten() {
        let event = plain(example["event"].as_str().unwrap_or_default(), 20);
        match example["id"].as_i64() {
            Some(id) => writeln!(out, "\n  {id} (event {event})")?,
            None => writeln!(out, "\n  event {event}")?,
        }
        writeln!(out, "    before: {}", plain(&example["before"].to_string(), 1000))?;
        writeln!(out, "    now:    {}", plain(&example["after"].to_string(), 1000))?;
    }
    Ok(())
}
