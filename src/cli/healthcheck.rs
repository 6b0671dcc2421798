//! `healthcheck`: asks the relay on this machine whether it takes events; the container's health.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Method;

use crate::config::Config;
use crate::deliver::{Connection, Endpoint};

const PATIENCE: Duration = Duration::from_secs(5);

pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let address = reachable(config.server.listen);
    let endpoint = Endpoint::new(&format!("http://{address}"))?;
    let mut connection = Connection::new(Arc::new(endpoint));
    let answer = tokio::time::timeout(PATIENCE, connection.call(Method::GET, "/readyz", Bytes::new()))
        .await
        .with_context(|| format!("the relay at {address} did not answer in time"))?
        .with_context(|| format!("no relay answers at {address}"))?;
    ensure!(
        answer.status == 200,
        "the relay at {address} is not ready: {}",
        String::from_utf8_lossy(&answer.body)
    );
    Ok(ExitCode::SUCCESS)
}

/// A listener on every address is asked on the loopback one.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
