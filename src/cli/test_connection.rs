//! `test-connection`: is each destination reachable, and does it take the form of the key? Is Vitally, and its secret?
//!
//! An empty object, as Segment's own test posts it. Accoil checks the key itself only after it has answered
//! (`facts/accoil.md` 1.5), so success proves the way and the form, never the key.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use crate::accoil;
use crate::accounts::vitally::{Client, Listing};
use crate::config::{Config, Destination, Vitally};
use crate::deliver::{Answer, Connection, Verdict, classify};
use crate::event::Dialect;
use crate::run;

pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let mut sound = true;
    let mut out = std::io::stdout();
    for destination in &config.destinations {
        let outcome = call(destination).await;
        sound &= outcome.is_ok();
        let (word, text) = match outcome {
            Ok(text) => ("ok", text),
            Err(text) => ("FAILED", text),
        };
        writeln!(out, "{word}  {}  {}  {text}", destination.name, destination.base_url)?;
    }
    if let Some(vitally) = &config.vitally {
        let outcome = call_vitally(vitally).await;
        sound &= outcome.is_ok();
        let (word, text) = match outcome {
            Ok(()) => ("ok", "an account list was read: the secret is right".to_owned()),
            Err(error) => ("FAILED", format!("{error:#}")),
        };
        writeln!(out, "{word}  vitally  {}  {text}", vitally.base_url)?;
    }
    super::say(
        "Accoil checks a key only after it has answered: look there for your data to be sure of the key.",
    );
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The probe of `facts/vitally.md` 11.
async fn call_vitally(vitally: &Vitally) -> anyhow::Result<()> {
    let client = Client::new(&vitally.base_url, &vitally.secret)?;
    client.list(&Listing { limit: 1, ..Listing::sweep() }).await?;
    Ok(())
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
