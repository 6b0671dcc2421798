//! A network between a relay and its server that fails when it is told to: requests or answers of the present connections are held
//! back, and new connections are refused.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What passes on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Passes {
    requests: bool,
    answers: bool,
}

const ALL: Passes = Passes { requests: true, answers: true };

/// Ends when it is dropped.
pub(crate) struct HoldingProxy {
    port: u16,
    /// One for each connection.
    connections: Arc<Mutex<Vec<watch::Sender<Passes>>>>,
    refuses: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl HoldingProxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, refuses) = (Arc::<Mutex<Vec<_>>>::default(), watch::Sender::new(false));
        let (all, refuse) = (Arc::clone(&connections), refuses.subscribe());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut copies = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if *refuse.borrow() {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let passes = watch::Sender::new(ALL);
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                copies.spawn(copy(from_client, to_server, passes.subscribe(), |passes| passes.requests));
                copies.spawn(copy(from_server, to_client, passes.subscribe(), |passes| passes.answers));
                all.lock().unwrap().push(passes);
            }
        });
        Self { port, connections, refuses, _task: task }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What the relay sends on its present connection stays here until [`Self::pass_all`].
    pub(crate) fn hold_requests(&self) {
        self.set(Passes { requests: false, ..ALL });
    }

    /// What the server answers on the present connection stays here.
    pub(crate) fn hold_answers(&self) {
        self.set(Passes { answers: false, ..ALL });
    }

    pub(crate) fn pass_all(&self) {
        self.set(ALL);
    }

    pub(crate) fn refuse_connections(&self, refuses: bool) {
        self.refuses.send_replace(refuses);
    }

    fn set(&self, passes: Passes) {
        for connection in self.connections.lock().unwrap().iter() {
            connection.send_replace(passes);
        }
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut passes: watch::Receiver<Passes>,
    may: fn(&Passes) -> bool,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(length) = from.read(&mut bytes).await
        && length > 0
    {
        if passes.wait_for(may).await.is_err() || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
