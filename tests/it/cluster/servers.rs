//! Real NATS servers: one, or a cluster of three. `tests/install.sh` installs the program.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Starts a server, prints its process id, and ends it when this process does, however that ends.
const KEEPER: &str = r#""$@" >/dev/null 2>&1 & echo $!; read -r _; kill -9 $!; wait"#;
const READY: Duration = Duration::from_secs(20);

/// The program, where `tests/install.sh` put it.
pub(crate) fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nats/installed/bin/nats-server");
    assert!(program.exists(), "there is no NATS server: run tests/install.sh");
    program
}

/// One server of a cluster, or a server alone. Killed when dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    keeper: Child,
    pid: u32,
    /// Open until the server is to end.
    _output: BufReader<ChildStdout>,
    configuration: PathBuf,
}

impl Server {
    fn start(folder: &Path, name: &str, port: u16, more: &str) -> Self {
        let store = folder.join(name);
        let configuration = folder.join(format!("{name}.conf"));
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\nserver_name: {name}\n\
             jetstream {{ store_dir: \"{}\", sync_interval: always, max_mem: 64M, max_file: 4G }}\n{more}\n",
            store.display()
        );
        std::fs::write(&configuration, text).unwrap();
        Self::run(configuration, port)
    }

    /// A server with more settings, and the folder that it needs.
    pub(crate) fn alone(more: &str) -> (Self, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let server = Self::start(folder.path(), "alone", free_ports(1)[0], more);
        server.wait_until_it_listens();
        (server, folder)
    }

    fn run(configuration: PathBuf, port: u16) -> Self {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(program())
            .arg("-c")
            .arg(&configuration)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(keeper.stdout.take().unwrap());
        let mut pid = String::new();
        output.read_line(&mut pid).unwrap();
        Self { port, keeper, pid: pid.trim().parse().unwrap(), _output: output, configuration }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Sends a signal, such as `KILL`, `STOP` or `CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.pid.to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Ends the server as an operator would.
    pub(crate) fn stop(&self) {
        self.signal("TERM");
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            assert!(began.elapsed() < READY, "the NATS server does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts a server that was killed, on what it had stored.
    pub(crate) fn restart(&mut self) {
        let (configuration, port) = (self.configuration.clone(), self.port);
        drop(std::mem::replace(self, Self::run(configuration, port)));
    }

    pub(crate) fn wait_until_it_listens(&self) {
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < READY, "the NATS server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Three servers.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
    _folder: TempDir,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports(6);
        let (clients, routes) = ports.split_at(3);
        let all: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let servers = clients.iter().zip(routes).enumerate().map(|(number, (client, route))| {
            let more = format!(
                "cluster {{ name: relays, no_advertise: true, listen: \"127.0.0.1:{route}\", routes: [{}] }}",
                all.join(", ")
            );
            Server::start(folder.path(), &format!("node{number}"), *client, &more)
        });
        let servers: Vec<_> = servers.collect();
        servers.iter().for_each(Server::wait_until_it_listens);
        Self { servers, _folder: folder }
    }

    /// The `outbox.url`.
    pub(crate) fn url(&self) -> String {
        self.servers.iter().map(Server::url).collect::<Vec<_>>().join(",")
    }
}

/// A server that all tests of this process share, each with a stream of its own. It ends with the process.
pub(crate) fn shared() -> &'static Server {
    static SERVER: OnceLock<(Server, PathBuf)> = OnceLock::new();
    let (server, _) = SERVER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        let server = Server::start(&folder, "alone", free_ports(1)[0], "");
        server.wait_until_it_listens();
        (server, folder)
    });
    server
}

/// Ports below those that the system hands out by itself: one of those may be taken again before the server listens on it.
fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(26_000);
    let mut ports = Vec::new();
    while ports.len() < count {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "no port is free");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
    }
    ports
}
