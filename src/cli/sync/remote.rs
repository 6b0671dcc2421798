//! A sync in the relay that runs: begun through its admin API, and listened to until the summary.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{AUTHORIZATION, HOST};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;

use super::show::Show;
use crate::accounts::sync::{Direction, Report};
use crate::plain::plain;

/// A line of reports is no longer: the summary names every account that was skipped or failed.
const MOST_LINE: usize = 64 << 20;
const MOST_ERROR: usize = 64 << 10;
/// Characters of an error.
const MOST_SHOWN: usize = 500;

const BROKE_OFF: &str =
    "the connection to it broke off; if it still runs, so does the sync: GET /api/sync tells how it ends";

pub(super) async fn run(
    admin: SocketAddr,
    token: Option<&SecretString>,
    direction: Direction,
    dry_run: bool,
    show: &mut Show,
) -> anyhow::Result<()> {
    let stream = TcpStream::connect(admin).await.context("cannot be reached")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let path = format!("/api/sync/{}?dry_run={dry_run}", direction.name());
    let mut request = Request::builder().method(Method::POST).uri(path).header(HOST, admin.to_string());
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let listening = async {
        let response = sender.send_request(request).await?;
        listen(response, show).await
    };
    // The connection moves the bytes; how it ends is no matter once everything has been heard.
    tokio::pin!(connection, listening);
    tokio::select! {
        heard = &mut listening => heard,
        _ = &mut connection => listening.await,
    }
}

async fn listen(response: Response<Incoming>, show: &mut Show) -> anyhow::Result<()> {
    let status = response.status();
    let mut body = response.into_body();
    if !status.is_success() {
        let text =
            Limited::new(body, MOST_ERROR).collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
        let said: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let why = said["error"].as_str().map(|why| plain(why, MOST_SHOWN));
        bail!("{}", why.unwrap_or_else(|| format!("it answered {status}")));
    }
    let mut waiting = BytesMut::new();
    // So much of it has no end of a line: looked through once, however many pieces a line comes in.
    let mut searched = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.context(BROKE_OFF)?.into_data() {
            waiting.extend_from_slice(&data);
        }
        while let Some(end) = waiting.iter().skip(searched).position(|byte| *byte == b'\n') {
            let line = waiting.split_to(searched + end);
            waiting.advance(1);
            searched = 0;
            let report: Report = serde_json::from_slice(&line).context("it is of another version")?;
            show.report(&report)?;
        }
        searched = waiting.len();
        if waiting.len() > MOST_LINE {
            bail!("it sends a line that is longer than any report");
        }
    }
    Ok(())
}
