//! Accoil's accounts: the client against the sandbox, `accounts get`, and `GET /api/accounts`.

mod admin;
mod client;
mod command;

use std::time::Duration;

use accoil_relay::accounts::accoil::{Client, FetchedAccount, GetError, Lookup, Query};
use accoil_relay::proxies::Proxies;
use accoil_relay::sandbox::{Fault, Options};
use secrecy::SecretString;

use crate::sandbox::RunningSandbox;

const TOKEN: &str = "accoil_t0ken-7531";
const SECTION: &str =
    "[accounts]\ntoken = 'accoil_t0ken-7531'\nworkspace_id = '13'\nbase_url = '${SANDBOX}'\n";
const PATH: &str = "/v1/accounts";

async fn served() -> RunningSandbox {
    RunningSandbox::start(Options::default()).await
}

/// Returns a client that does not retry, so that each test sees the first answer.
fn client(url: &str) -> Client {
    Client::new(url, &SecretString::from(TOKEN), "13", &Proxies::default())
        .unwrap()
        .with_max_wait(Duration::ZERO)
}

fn by_id(id: &str) -> Query {
    Query { lookup: Some(Lookup::Id(id.to_owned())), ..Query::default() }
}

fn by(kind: &str, value: &str) -> Query {
    let lookup = Lookup::Match { kind: kind.to_owned(), value: value.to_owned() };
    Query { lookup: Some(lookup), ..Query::default() }
}

fn answering(status: u16, body: &str) -> Fault {
    Fault {
        status: Some(status),
        body: Some(body.to_owned()),
        path: Some(PATH.to_owned()),
        ..Fault::default()
    }
}

async fn answered(sandbox: &RunningSandbox, status: u16, body: &str) -> Result<FetchedAccount, GetError> {
    sandbox.sandbox.faults().add(answering(status, body)).unwrap();
    client(&sandbox.url).get(&by_id("456")).await
}
