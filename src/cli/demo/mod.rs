//! `demo`: starts the sandbox and the relay, sends sample events, and runs both syncs. Then it keeps sending events, so
//! that every page of the dashboard has something to show, until Ctrl-C.

mod cluster;
mod samples;
mod show;
mod story;
mod traffic;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::future;
use http::header::CONTENT_TYPE;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use cluster::Cluster;

use super::map::Mapper;
use super::serve::Signals;
use crate::accounts::sync::{Direction, Report, Syncs};
use crate::config::{Accounts, Config, Environment, OutboxUrl, Vitally};
use crate::event::SourceKind;
use crate::http_client;
use crate::proxies::Proxies;
use crate::run::Relay;
use crate::sandbox::{Options, Received, Sandbox};
use crate::tasks::Tasks;
use crate::telemetry;

/// How long a sample may take to arrive at the sandbox.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The part of an answer that is read.
const MAX_ANSWER_BYTES: usize = 2048;
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the calls of a relay that is gone wait for the other, with `--cluster`.
const LEASE: Duration = Duration::from_secs(4);
/// The public port of the first relay; its admin port is the next, and the second relay's are the next two.
const RELAY_PORT: u16 = 8080;
const SANDBOX_PORT: u16 = 8090;

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Stop after the samples; exit 0 only if all arrived
    #[arg(long)]
    pub once: bool,
    /// Two relays that share a cluster of three NATS servers; needs the program nats-server
    #[arg(long)]
    pub cluster: bool,
}

pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let folder = Folder::new()?;
    let mut signals = Signals::new()?;
    let tasks = Tasks::new(&CancellationToken::new());
    let (sandbox, sandbox_address) = start_sandbox(&tasks).await?;
    let starting = async {
        let cluster = if args.cluster { Some(Cluster::start(&folder.0).await?) } else { None };
        let configs = configs(&folder, sandbox_address, cluster.as_ref()).await?;
        telemetry::init(&configs[0].log);
        let mut relays = Vec::new();
        for config in &configs {
            relays.push(Relay::start(config).await?);
        }
        anyhow::Ok((cluster, configs, relays))
    };
    let (cluster, configs, relays) = tokio::select! {
        started = starting => started?,
        () = signals.next() => bail!("interrupted before the relay had started"),
    };
    let addresses: Vec<_> = relays.iter().map(|relay| relay.address).collect();

    let outcome = tokio::select! {
        sent = send_samples(&configs[0], &addresses, &sandbox) => sent,
        () = signals.next() => bail!("interrupted before all samples were delivered"),
    };
    let arrived = outcome?
        && tokio::select! {
            synced = sync_accounts(&relays[0].syncs) => synced?,
            () = signals.next() => bail!("interrupted before the accounts were synced"),
        };
    show::next_steps(&relays, sandbox_address, cluster.as_ref(), arrived)?;
    if !args.once {
        let client = client()?;
        let stop = tasks.stop_signal();
        tasks.spawn("demo events", async move { traffic::run(&client, &addresses, &sandbox, &stop).await });
        show::runs_on()?;
        signals.next().await;
    }
    tokio::select! {
        _ = future::join_all(relays.into_iter().map(Relay::stop)) => {}
        () = signals.next() => {}
    }
    tasks.stop(STOP_TIMEOUT).await;
    Ok(if arrived { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn start_sandbox(tasks: &Tasks) -> anyhow::Result<(Sandbox, SocketAddr)> {
    let listener = listen(SANDBOX_PORT).await?;
    let address = listener.local_addr()?;
    let sandbox = Sandbox::new(Options::default());
    let serving = sandbox.clone().serve(listener, tasks.stop_signal());
    tasks.spawn("sandbox", async move {
        if let Err(error) = serving.await {
            tracing::error!(error.message = %error, "the sandbox stopped");
        }
    });
    Ok((sandbox, address))
}

/// Listens on the usual port, or on a free one if it is in use.
async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port is free on 127.0.0.1"),
    }
}

/// The configuration of each relay: one with a file, or two that share the cluster.
async fn configs(
    folder: &Folder,
    sandbox: SocketAddr,
    cluster: Option<&Cluster>,
) -> anyhow::Result<Vec<Config>> {
    let Some(cluster) = cluster else {
        return Ok(vec![config(folder.0.join("relay.db"), sandbox, RELAY_PORT).await?]);
    };
    let mut configs = Vec::new();
    for port in [RELAY_PORT, RELAY_PORT + 2] {
        let own = folder.0.join(format!("relay-{port}"));
        std::fs::create_dir(&own).with_context(|| format!("cannot create {}", own.display()))?;
        let mut config = config(own.join("relay.nats"), sandbox, port).await?;
        config.outbox.url.servers = OutboxUrl::parse(&cluster.url()).map_err(anyhow::Error::msg)?.servers;
        config.admin.listen = listen(port + 1).await?.local_addr()?;
        // A demo does not wait for long until another relay takes over.
        config.outbox.lease = Some(LEASE);
        for destination in &mut config.destinations {
            destination.request_timeout = LEASE / 2;
        }
        configs.push(config);
    }
    Ok(configs)
}

/// The configuration of a first user, without a file and with one key, except that the destination is the sandbox.
async fn config(outbox: PathBuf, sandbox: SocketAddr, port: u16) -> anyhow::Result<Config> {
    let folder = outbox.parent().unwrap_or(&outbox);
    let environment = Environment::new(folder, [("ACCOIL_API_KEY", "demo-key")]);
    let mut config = Config::load(None, &environment)?;
    config.server.listen = listen(port).await?.local_addr()?;
    config.outbox.url.path = outbox;
    config.log.level = tracing::Level::WARN;
    let base_url = format!("http://{sandbox}");
    config.accounts = Some(Accounts {
        token: "accoil_demo".into(),
        workspace_id: "123".to_owned(),
        base_url: base_url.clone(),
    });
    config.vitally = Some(Vitally { secret: "demo-secret".into(), subdomain: None, region: None, base_url });
    for destination in &mut config.destinations {
        destination.base_url = format!("http://{sandbox}");
    }
    Ok(config)
}

/// Runs both syncs and shows their results. Returns true if no account failed.
async fn sync_accounts(syncs: &Syncs) -> anyhow::Result<bool> {
    let mut sound = true;
    for direction in [Direction::VitallyToAccoil, Direction::AccoilToVitally] {
        let mut reports = syncs.start(direction, false)?;
        while let Some(report) = reports.recv().await {
            if let Report::Summary(summary) = report {
                sound &= summary.is_success();
                show::sync(&summary)?;
            }
        }
    }
    Ok(sound)
}

/// Sends one sample after another, to one relay after the other, and shows what each became. Returns true if every call arrived.
async fn send_samples(config: &Config, relays: &[SocketAddr], sandbox: &Sandbox) -> anyhow::Result<bool> {
    let client = client()?;
    let mappers = [Mapper::of(config, "segment")?, Mapper::of(config, "amplitude")?];
    let [segment, amplitude] = &mappers;
    let (mut arrived, mut seen) = (true, 0);
    show::head()?;
    for (sample, relay) in samples::all()?.iter().zip(relays.iter().cycle()) {
        let mapper = if sample.kind == SourceKind::Segment { segment } else { amplitude };
        let expected = sample.expected_calls(mapper, relays.len() > 1);
        let post = client.post(format!("http://{relay}{}", sample.path)).body(sample.body.clone());
        let answer = post.header(CONTENT_TYPE, "application/json").send().await?;
        let status = answer.status().as_u16();
        let body = http_client::read_beginning(answer, MAX_ANSWER_BYTES).await?;
        let complete = sandbox.wait_for(seen + expected as u64, ARRIVAL_TIMEOUT).await;
        let calls = new_calls(sandbox, &mut seen);
        show::sample(sample, status, &body, &calls)?;
        arrived &= complete && sample.is_answered_by(status) && calls.len() == expected;
    }
    Ok(arrived)
}

/// The relay is on this machine, so no proxy is used.
fn client() -> anyhow::Result<reqwest::Client> {
    Ok(http_client::builder(&Proxies::default())?.timeout(ARRIVAL_TIMEOUT).build()?)
}

/// The calls that arrived at the sandbox since the last sample.
fn new_calls(sandbox: &Sandbox, seen: &mut u64) -> Vec<Received> {
    let calls: Vec<Received> =
        sandbox.received().into_iter().filter(|received| received.sequence > *seen).collect();
    *seen = calls.last().map_or(*seen, |call| call.sequence);
    calls
}

/// A temporary folder for the demo's outbox, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("accoil-relay-demo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If removing fails, the system cleans its temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
