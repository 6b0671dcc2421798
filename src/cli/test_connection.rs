//! `test-connection`: is each destination reachable, and does it take the form of the key? And the APIs that are read?
//!
//! An empty object, as Segment's own test posts it. Accoil checks the key itself only after it has answered
//! (`facts/accoil.md` 1.5), so success proves the way and the form, never the key. An API
//! that is read says at once whether it takes its token.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use crate::accoil;
use crate::accounts::accoil::{Lookup, Query};
use crate::accounts::vitally::{Client, Listing};
use crate::config::{Config, Destination, Vitally};
use crate::deliver::{Answer, Connection, Verdict, classify};
use crate::event::Dialect;
use crate::run;

/// With all tries of a call, and between two of them.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const MOST_WAIT: Duration = Duration::from_secs(3);

pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let mut sound = true;
    let mut out = std::io::stdout();
    for destination in &config.destinations {
        sound &= tell(&mut out, &destination.name, &destination.base_url, call(destination).await)?;
    }
    if let Some(section) = &config.accounts {
        sound &= tell(&mut out, "[accounts]", &section.base_url, read_accounts(config).await)?;
    }
    if let Some(section) = &config.vitally {
        sound &= tell(&mut out, "[vitally]", &section.base_url, list_vitally(section).await)?;
    }
    if !config.destinations.is_empty() {
        super::say(
            "Accoil checks a key only after it has answered: look there for your data to be sure of the key.",
        );
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line; true if all is well.
fn tell(
    out: &mut impl Write,
    name: &str,
    base_url: &str,
    outcome: Result<String, String>,
) -> io::Result<bool> {
    let sound = outcome.is_ok();
    let (word, Ok(text) | Err(text)) = (if sound { "ok" } else { "FAILED" }, outcome);
    writeln!(out, "{word}  {name}  {base_url}  {text}")?;
    Ok(sound)
}

/// Asks for an account that there cannot be.
async fn read_accounts(config: &Config) -> Result<String, String> {
    let client = run::accoil_client(config).map_err(|error| error.to_string())?;
    let client = client.ok_or("it is not configured")?;
    let query = Query { lookup: Some(Lookup::Id("0".to_owned())), ..Query::default() };
    let client = client.with_max_wait(MOST_WAIT);
    match tokio::time::timeout(READ_TIMEOUT, client.get(&query)).await {
        Ok(Ok(_)) => Ok("GET /v1/accounts: reachable, and the token is taken".to_owned()),
        Ok(Err(error)) if error.is_not_found() => {
            Ok("GET /v1/accounts: reachable, and the token is taken".to_owned())
        }
        Ok(Err(error)) => Err(format!("GET /v1/accounts: {error}")),
        Err(_) => {
            Err("GET /v1/accounts: no answer in time; is the address right, or are there too many calls?"
                .to_owned())
        }
    }
}

/// The probe of `facts/vitally.md` 11.
async fn list_vitally(vitally: &Vitally) -> Result<String, String> {
    let client = Client::new(&vitally.base_url, &vitally.secret).map_err(|error| error.to_string())?;
    let listing = Listing { limit: 1, ..Listing::sweep() };
    match tokio::time::timeout(READ_TIMEOUT, client.list(&listing)).await {
        Ok(Ok(_)) => Ok("GET /resources/accounts: reachable, and the secret is taken".to_owned()),
        Ok(Err(error)) => Err(format!("GET /resources/accounts: {error}")),
        Err(_) => Err("GET /resources/accounts: no answer in time; is the address right?".to_owned()),
    }
}

async fn call(destination: &Destination) -> Result<String, String> {
    let endpoint = run::endpoint(destination).map_err(|error| error.to_string())?;
    let path = match destination.api {
        Dialect::V2 => "/v2/identify",
        Dialect::Segment => accoil::SEGMENT_PATH,
    };
    let mut connection = Connection::new(Arc::new(endpoint));
    let call = connection.call(Method::POST, path, Bytes::from_static(b"{}"));
    let answer = tokio::time::timeout(destination.request_timeout, call)
        .await
        .map_err(|_| {
            format!("POST {path}: no answer in time; is the address right, and does a firewall block it?")
        })?
        .map_err(|error| format!("POST {path}: {error}; is the address right?"))?;
    judge(path, &answer)
}

fn judge(path: &str, answer: &Answer) -> Result<String, String> {
    let status = answer.status;
    let text = String::from_utf8_lossy(&answer.body);
    match classify(Some(status)) {
        Verdict::Delivered => {
            Ok(format!("POST {path} answered {status}: reachable, and the key's form is taken"))
        }
        Verdict::Credentials => Err(format!("POST {path} answered {status}: the key is refused; {text}")),
        Verdict::Retry => {
            Err(format!("POST {path} answered {status}: in trouble just now; try again later; {text}"))
        }
        Verdict::Permanent => Err(format!("POST {path} answered {status}: {text}")),
    }
}
