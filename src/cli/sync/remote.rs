//! Runs a sync in the running relay: starts it through the admin API and reads its reports until the summary.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use bytes::{Buf as _, BytesMut};
use reqwest::Response;
use secrecy::{ExposeSecret as _, SecretString};

use super::show::Show;
use crate::accounts::sync::{Direction, Report};
use crate::http_client;
use crate::plain::plain;
use crate::proxies::Proxies;

/// The longest line: a summary lists every account that was skipped or failed.
const MAX_LINE_BYTES: usize = 64 << 20;
const MAX_ERROR_BYTES: usize = 64 << 10;
/// Characters shown of an error.
const MAX_SHOWN: usize = 500;

const CONNECTION_LOST: &str = "the connection was lost; if the relay is still running, the sync continues: GET /api/sync has its result";

pub(super) async fn run(
    admin: SocketAddr,
    token: Option<&SecretString>,
    direction: Direction,
    dry_run: bool,
    show: &mut Show,
) -> anyhow::Result<()> {
    // The relay is on this machine.
    let client = http_client::builder(&Proxies::default())?.build()?;
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
    // The first bytes that were searched and contain no line end.
    let mut searched = 0;
    while let Some(piece) = response.chunk().await.context(CONNECTION_LOST)? {
        waiting.extend_from_slice(&piece);
        while let Some(end) = waiting.iter().skip(searched).position(|byte| *byte == b'\n') {
            let line = waiting.split_to(searched + end);
            waiting.advance(1);
            searched = 0;
            let report: Report =
                serde_json::from_slice(&line).context("the relay has a different version")?;
            show.report(&report)?;
        }
        searched = waiting.len();
        if waiting.len() > MAX_LINE_BYTES {
            bail!("the relay sent a line that is longer than any report");
        }
    }
    Ok(())
}
