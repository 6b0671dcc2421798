//! `test-connection`: checks that each destination is reachable and accepts the form of its key, and tests the read APIs.
//!
//! Posts an empty object, as Segment's own test does. Accoil checks a key only after it has answered, so a success proves the
//! address and the form of the key, but not the key. The read APIs answer at once whether they accept the token.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use http::header::{HOST, PROXY_AUTHORIZATION};

use crate::accoil;
use crate::accounts::accoil::{Lookup, Query};
use crate::accounts::vitally::{Client, Listing};
use crate::config::{Config, Destination, Vitally};
use crate::deliver::{self, Answer, Verdict, judge};
use crate::event::Dialect;
use crate::http_client;
use crate::proxies::Proxies;
use crate::run;

/// Time limit of a read with all its retries, and the longest wait between two attempts.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_WAIT: Duration = Duration::from_secs(3);
/// The part of a destination's answer that is read.
const MAX_ANSWER_BYTES: usize = 2048;

pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let mut sound = true;
    let mut out = std::io::stdout();
    for destination in &config.destinations {
        sound &= print_outcome(
            &mut out,
            &destination.name,
            &destination.base_url,
            call(config, destination).await,
        )?;
    }
    if let Some(section) = &config.accounts {
        sound &= print_outcome(&mut out, "[accounts]", &section.base_url, read_accounts(config).await)?;
    }
    if let Some(section) = &config.vitally {
        sound &= print_outcome(
            &mut out,
            "[vitally]",
            &section.base_url,
            list_vitally(section, &config.proxies).await,
        )?;
    }
    if !config.destinations.is_empty() {
        super::print_message(
            "Accoil checks a key only after it has answered: to be sure of the key, look for your data in Accoil.",
        );
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints one line. Returns true if the test passed.
fn print_outcome(
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

/// Reads an account that cannot exist.
async fn read_accounts(config: &Config) -> Result<String, String> {
    let client = run::accoil_client(config).map_err(|error| error.to_string())?;
    let client = client.ok_or("it is not configured")?;
    let query = Query { lookup: Some(Lookup::Id("0".to_owned())), ..Query::default() };
    let client = client.with_max_wait(MAX_WAIT);
    match tokio::time::timeout(READ_TIMEOUT, client.get(&query)).await {
        Ok(Ok(_)) => Ok("GET /v1/accounts: reachable, and the token is accepted".to_owned()),
        Ok(Err(error)) if error.is_not_found() => {
            Ok("GET /v1/accounts: reachable, and the token is accepted".to_owned())
        }
        Ok(Err(error)) => Err(format!("GET /v1/accounts: {error}")),
        Err(_) => {
            Err("GET /v1/accounts: no answer in time; check the address, or try again later".to_owned())
        }
    }
}

/// Lists one account: the cheapest call that needs the secret.
async fn list_vitally(vitally: &Vitally, proxies: &Proxies) -> Result<String, String> {
    let client =
        Client::new(&vitally.base_url, &vitally.secret, proxies).map_err(|error| error.to_string())?;
    let listing = Listing { limit: 1, ..Listing::sweep() };
    match tokio::time::timeout(READ_TIMEOUT, client.list(&listing)).await {
        Ok(Ok(_)) => Ok("GET /resources/accounts: reachable, and the secret is accepted".to_owned()),
        Ok(Err(error)) => Err(format!("GET /resources/accounts: {error}")),
        Err(_) => Err("GET /resources/accounts: no answer in time; check the address".to_owned()),
    }
}

async fn call(config: &Config, destination: &Destination) -> Result<String, String> {
    let path = match destination.api {
        Dialect::V2 => "/v2/identify",
        Dialect::Segment => accoil::SEGMENT_PATH,
    };
    let answer = tokio::time::timeout(destination.request_timeout, post(config, destination, path))
        .await
        .map_err(|_| {
            format!("POST {path}: no answer in time; check the address and any firewall on the way")
        })?
        .map_err(|error| format!("POST {path}: {error}; check the address"))?;
    describe(path, answer)
}

/// Posts an empty object with the headers of a delivery.
async fn post(config: &Config, destination: &Destination, path: &str) -> anyhow::Result<Answer> {
    let mut headers = run::endpoint(destination, &config.proxies)?.headers(path).clone();
    // The client adds its own.
    for name in [HOST, PROXY_AUTHORIZATION] {
        headers.remove(name);
    }
    let client =
        http_client::builder(&config.proxies)?.connect_timeout(destination.connect_timeout).build()?;
    let request = client.post(format!("{}{path}", destination.base_url)).headers(headers).body("{}");
    let response = request.send().await.map_err(|error| anyhow::anyhow!(http_client::root_cause(&error)))?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = http_client::read_beginning(response, MAX_ANSWER_BYTES).await?;
    Ok(Answer { status, headers, body })
}

fn describe(path: &str, answer: Answer) -> Result<String, String> {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let outcome = Ok(answer);
    let short = deliver::short_reason(&outcome);
    match judge(&outcome) {
        Verdict::Delivered => Ok(format!("POST {path} {short}: reachable, and the key's form is accepted")),
        Verdict::Credentials => {
            Err(format!("POST {path} {short}: the key is refused; check api_key; {text}"))
        }
        Verdict::Place => Err(format!(
            "POST {path} {short}: this is not Accoil's ingestion API; check base_url and any proxy on the way; {text}"
        )),
        Verdict::Retry => Err(format!("POST {path} {short}: failing at the moment; try again later; {text}")),
        Verdict::Permanent => Err(format!("POST {path} {short}: {text}")),
    }
}
