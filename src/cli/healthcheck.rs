//! `healthcheck`: checks that the relay on this machine accepts events, for containers.
//!
//! Asks the running relay. A configuration file that has become wrong since its start does not matter: an orchestrator
//! would restart a healthy relay, and the restart would fail.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use http::StatusCode;

use super::relay::base_url;
use crate::config::{Environment, RelayPlace};
use crate::proxies::Proxies;
use crate::{http_client, outbox};

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 2048;

#[derive(Debug, clap::Args)]
pub struct HealthcheckArgs {
    /// Either listener of the relay, such as `http://127.0.0.1:8080` [default: the relay with this configuration's outbox]
    #[arg(long, value_name = "URL", value_parser = base_url)]
    pub url: Option<String>,
}

pub async fn run(args: &HealthcheckArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    // The relay is on this machine, so no proxy is used, unless a person names another address.
    let proxies = args.url.as_ref().map_or_else(Proxies::default, |_| environment.proxies());
    let client = http_client::builder(&proxies)?.timeout(TIMEOUT).build()?;
    let mut failure = anyhow!("the configuration names no address; name one with --url");
    for base in addresses(args, file, &environment) {
        match client.get(format!("{base}/readyz")).send().await {
            Ok(response) => return judge(&base, response).await,
            Err(error) if error.is_timeout() => bail!("the relay at {base} did not answer in time"),
            Err(error) => {
                failure = anyhow!("no relay answers at {base}: {}", http_client::root_cause(&error));
            }
        }
    }
    Err(failure)
}

/// Where to ask: at `--url`, or else at the admin listener that the lock file of the outbox names, and then at the public
/// listener. The lock file of a killed relay names an address at which nothing listens.
fn addresses(args: &HealthcheckArgs, file: Option<&Path>, environment: &Environment) -> Vec<String> {
    if let Some(url) = &args.url {
        return vec![url.clone()];
    }
    let Some(place) = RelayPlace::find(file, environment) else { return Vec::new() };
    let found = outbox::owner(&place.outbox).into_iter().chain([place.listen]);
    found.map(|address| format!("http://{}", reachable(address))).collect()
}

async fn judge(base: &str, response: reqwest::Response) -> anyhow::Result<ExitCode> {
    let status = response.status();
    let body = http_client::read_beginning(response, MAX_ANSWER_BYTES).await;
    let body = body.with_context(|| format!("the relay at {base}"))?;
    let text = String::from_utf8_lossy(&body);
    ensure!(status == StatusCode::OK, "the relay at {base} is not ready: {text}");
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
