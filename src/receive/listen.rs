//! The accept loop: connections bounded in number, idle and slow ones closed, a stop that lets requests finish.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::tasks::Tasks;

/// After a failed accept (out of file descriptors, for one) the next waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two log lines about failed accepts.
const BETWEEN_LINES: Duration = Duration::from_secs(60);

/// What a listener's connections may use.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Open at once; further ones wait.
    pub connections: usize,
    /// An idle connection is closed after this long. The head of a request must arrive within it too.
    pub keep_alive: Duration,
}

/// Serves until the group is stopped, then waits for the requests in flight.
pub async fn serve(listener: TcpListener, router: Router, limits: ConnectionLimits, tasks: Tasks) {
    let stop = tasks.stop_signal();
    let connections = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut failures = Failures::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                failures.log(&error, Instant::now());
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.keep_alive)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tasks.spawn("connection", async move {
            // A connection that ends badly is its sender's business; what it had sent whole is stored.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    let _ = stream.set_nodelay(true);
    Ok((stream, permit))
}

/// Failed accepts, logged at most once a minute.
#[derive(Default)]
struct Failures {
    logged: Option<Instant>,
    since_logged: u64,
}

impl Failures {
    fn log(&mut self, error: &io::Error, now: Instant) {
        if self.is_due(now) {
            tracing::warn!(
                error.message = %error,
                not_logged = self.since_logged,
                "a connection could not be accepted; further ones are tried ten times a second and logged once a minute"
            );
            self.since_logged = 0;
        }
    }

    /// Counts a failure; true if it is to be logged.
    fn is_due(&mut self, now: Instant) -> bool {
        if self.logged.is_some_and(|at| now < at + BETWEEN_LINES) {
            self.since_logged += 1;
            return false;
        }
        self.logged = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_accepts_are_logged_once_a_minute() {
        let start = Instant::now();
        let mut failures = Failures::default();
        let logged = (0..1200).filter(|tenth| failures.is_due(start + Duration::from_millis(tenth * 100)));
        assert_eq!(logged.count(), 2, "in two minutes of ten failures a second");
        assert_eq!(failures.since_logged, 1198);
    }
}
