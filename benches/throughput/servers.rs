//! NATS servers for a measurement: one alone, or a cluster of three, each of which syncs every write. `tests/install.sh` installs the
//! program.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nats/installed/bin/nats-server");

/// They are killed when this is dropped.
pub(crate) struct Servers {
    children: Vec<Child>,
    url: String,
    _folder: TempDir,
}

impl Servers {
    pub(crate) async fn start(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listeners: Vec<_> = (0..2 * count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(listeners);
        let (clients, routes) = ports.split_at(count);
        let all: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut children = Vec::new();
        for (number, (client, route)) in clients.iter().zip(routes).enumerate() {
            let cluster = if count == 1 {
                String::new()
            } else {
                format!(
                    "cluster {{ name: relays, listen: \"127.0.0.1:{route}\", routes: [{}] }}",
                    all.join(", ")
                )
            };
            children.push(run(folder.path(), number, *client, &cluster));
        }
        let urls: Vec<_> = clients.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        for port in clients {
            super::common::ready(*port).await;
        }
        // The servers choose a leader.
        tokio::time::sleep(Duration::from_secs(if count == 1 { 0 } else { 3 })).await;
        Self { children, url: urls.join(","), _folder: folder }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Seconds of CPU time that all of them have used.
    pub(crate) fn cpu(&self) -> f64 {
        self.children.iter().map(super::cpu).sum()
    }
}

fn run(folder: &Path, number: usize, port: u16, cluster: &str) -> Child {
    let configuration = folder.join(format!("{number}.conf"));
    let store = folder.join(number.to_string());
    let text = format!(
        "listen: \"127.0.0.1:{port}\"\nserver_name: node{number}\n\
         jetstream {{ store_dir: \"{}\", sync_interval: always, max_mem: 256M, max_file: 20G }}\n{cluster}\n",
        store.display()
    );
    std::fs::write(&configuration, text).unwrap();
    let mut server = Command::new(PROGRAM);
    server.arg("-c").arg(&configuration).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    server.spawn().unwrap_or_else(|error| panic!("{PROGRAM}: {error}; run tests/install.sh"))
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
