//! A sync in the relay that runs: begun through its admin API, and listened to until the summary.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use bytes::{Buf as _, BytesMut};
use reqwest::Response;
use secrecy::{ExposeSecret as _, SecretString};

use super::show::Show;
use crate::accounts::sync::{Direction, Report};
use crate::http_client;
use crate::plain::plain;

/// A line of reports is no longer: the summary names every account that was skipped or failed.
const MAX_LINE_BYTES: usize = 64 << 20;
const MAX_ERROR_BYTES: usize = 64 << 10;
/// Characters of an error.
const MAX_SHOWN: usize = 500;

const BROKE_OFF: &str =
    "the connection to it broke off; if it still runs, so does the sync: GET /api/sync tells how it ends";

pub(super) async fn run(
    admin: SocketAddr,
    token: Option<&SecretString>,
    direction: Direction,
    dry_run: bool,
    show: &mut Show,
) -> anyhow::Result<()> {
    // The relay is on this machine.
    let client = http_client::builder()?.no_proxy().build()?;
    let url = format!("http://{admin}/api/sync/{}?dry_run={dry_run}", direction.name());
    let mut request = client.post(url);
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    let response = request.send().await.map_err(|error| anyhow::anyhow!(http_client::root_cause(&error)));
    listen(response.context("cannot be reached")?, show).await
}

async fn listen(mut response: Response, show: &mut Show) -> anyhow::Result<()> {
    let status = response.status();
    if !status.is_success() {
        let text = http_client::read_body(response, MAX_ERROR_BYTES).await?;
        let body: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let why = body["error"].as_str().map(|why| plain(why, MAX_SHOWN));
        bail!("{}", why.unwrap_or_else(|| format!("it answered {status}")));
    }
    let mut waiting = BytesMut::new();
    // The bytes at its beginning that are known to hold no end of a line.
    let mut searched = 0;
    while let Some(piece) = response.chunk().await.context(BROKE_OFF)? {
        waiting.extend_from_slice(&piece);
        while let Some(end) = waiting.iter().skip(searched).position(|byte| *byte == b'\n') {
            let line = waiting.split_to(searched + end);
            waiting.advance(1);
            searched = 0;
            let report: Report = serde_json::from_slice(&line).context("it is of another version")?;
            show.report(&report)?;
        }
        searched = waiting.len();
        if waiting.len() > MAX_LINE_BYTES {
            bail!("it sends a line that is longer than any report");
        }
    }
    Ok(())
}
