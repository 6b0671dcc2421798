//! The composition root: builds the stages from the configuration, starts them, and stops them in order.
//!
//! Start: bind, open the outbox, deliver, then receive. Stop: readiness off, stop accepting and let requests
//! finish, stop handing out calls and let those in flight be answered, close the outbox. Whatever is not done by the
//! deadline stays in the outbox and is done after the next start.

mod build;
mod error;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use build::{destinations, endpoint, outbox_options, source_of_kind, sources};
pub use error::StartError;

use crate::config::Config;
use crate::outbox::{self, Outbox};
use crate::receive::{self, Receiver};
use crate::tasks::Tasks;
use crate::{deliver, telemetry};

/// A running relay.
pub struct Relay {
    /// Where the public listener really is.
    pub address: SocketAddr,
    pub outbox: Outbox,
    receiver: Receiver,
    receiving: Tasks,
    delivering: Tasks,
    broken: CancellationToken,
    shutdown_timeout: Duration,
}

impl Relay {
    /// Starts everything. What the last run left in the outbox is delivered first.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let destinations = destinations(config)?;
        let targets = build::targets(config)?;
        let listen = config.server.listen;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|source| StartError::Listen { address: listen, source })?;
        let address =
            listener.local_addr().map_err(|source| StartError::Listen { address: listen, source })?;
        let options = build::outbox_options(config);
        let outbox = open(options).await?;

        let broken = CancellationToken::new();
        let (receiving, delivering) = (Tasks::new(&broken), Tasks::new(&broken));
        for target in targets {
            deliver::start(&delivering, &outbox, target);
        }
        let sources = sources(config, &destinations);
        let limits = build::limits(config);
        let receiver = Receiver::new(sources, outbox.clone(), limits, config.server.request_timeout);
        let router = receive::router(receiver.clone());
        let connections = config.server.max_connections;
        receiving.spawn(
            "public listener",
            receive::listen::serve(listener, router, connections, receiving.clone()),
        );
        telemetry::started(address, &config.outbox.path);
        let shutdown_timeout = config.server.shutdown_timeout;
        Ok(Self { address, outbox, receiver, receiving, delivering, broken, shutdown_timeout })
    }

    /// Ends when a task has panicked: the relay is then to be stopped.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Stops in order; true if all was done by the deadline.
    pub async fn stop(self) -> bool {
        let deadline = Instant::now() + self.shutdown_timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.receiver.stop();
        let received = self.receiving.stop(left()).await;
        let delivered = self.delivering.stop(left()).await;
        self.outbox.close().await;
        telemetry::stopped(received && delivered);
        received && delivered
    }
}

async fn open(options: outbox::Options) -> Result<Outbox, StartError> {
    // Opening may read a long log: not on a thread that serves.
    tokio::task::spawn_blocking(move || Outbox::open(&options))
        .await
        .map_err(|_| StartError::Stopped)?
        .map_err(Into::into)
}
