//! `healthcheck`: checks that the relay on this machine accepts events, for containers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use http::StatusCode;

use crate::config::Config;
use crate::http_client;

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 2048;

pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let address = reachable(config.server.listen);
    // The relay is on this machine, so no proxy is used.
    let client = http_client::builder()?.no_proxy().timeout(TIMEOUT).build()?;
    let response = client.get(format!("http://{address}/readyz")).send().await;
    let response = response.map_err(|error| {
        if error.is_timeout() {
            anyhow!("the relay at {address} did not answer in time")
        } else {
            anyhow!("no relay answers at {address}: {}", http_client::root_cause(&error))
        }
    })?;
    let status = response.status();
    let body = http_client::read_beginning(response, MAX_ANSWER_BYTES).await.unwrap_or_default();
    ensure!(
        status == StatusCode::OK,
        "the relay at {address} is not ready: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(ExitCode::SUCCESS)
}

/// The address to connect to: loopback if the relay listens on every address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
