//! `events verify`: whether Accoil has a user or an account. Accoil answers 202 to a wrong key, too, so a delivered call alone does
//! not prove that anything arrived.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::print_message;
use crate::cli::relay::{RelayApi, RelayRefusal, Remote, path_with};
use crate::plain::plain;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The user id or the group id of the events
    #[arg(value_name = "ID")]
    id: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: &VerifyArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let relay = args.remote.connect(file)?;
    let found = match user(&relay, &args.id).await? {
        Some(user) => Some(("user", user)),
        None => account(&relay, &args.id).await?.map(|account| ("account", account)),
    };
    let is_found = found.is_some();
    let mut out = io::stdout().lock();
    if args.json {
        let (kind, found) = found.map_or((None, Value::Null), |(kind, found)| (Some(kind), found));
        writeln!(out, "{}", json!({"id": args.id, "is_known": is_found, "kind": kind, "found": found}))?;
    } else if let Some((kind, found)) = found {
        writeln!(out, "Accoil knows the {kind} {}{}", plain(&args.id, 160), last_seen(&found))?;
    } else {
        print_message(&format!(
            "Accoil knows neither a user nor an account {}. New ones appear within minutes. If this one does not appear: Accoil answers \
             202 to a wrong key, too, so compare api_key with the key in Accoil's settings",
            plain(&args.id, 160)
        ));
    }
    Ok(if is_found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn user(relay: &RelayApi, id: &str) -> anyhow::Result<Option<Value>> {
    let path = path_with("/api/users", &[("match_type", Some("tracking_id")), ("match_value", Some(id))]);
    let mut answer = relay.fetch(&path).await?;
    Ok((answer["is_known"] == true).then(|| answer["user"].take()))
}

async fn account(relay: &RelayApi, id: &str) -> anyhow::Result<Option<Value>> {
    let path = path_with("/api/accounts", &[("match_type", Some("tracking_id")), ("match_value", Some(id))]);
    match relay.fetch(&path).await {
        Ok(account) => Ok(Some(account)),
        Err(error) => match error.downcast_ref::<RelayRefusal>() {
            Some(refused) if refused.code() == "not_found" => Ok(None),
            _ => Err(error),
        },
    }
}

/// Returns when Accoil last saw it, if Accoil says so.
fn last_seen(found: &Value) -> String {
    let seen = found["last_seen"].as_str().or_else(|| found["metrics"]["last_seen"].as_str());
    seen.map(|seen| format!(", last seen {}", plain(seen, 40))).unwrap_or_default()
}
