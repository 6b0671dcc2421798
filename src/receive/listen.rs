//! The accept loop: connections bounded in number, slow headers cut off, a stop that lets requests finish.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::tasks::Tasks;

/// For the head of a request to arrive, and for the next one on an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// A failed accept (out of file descriptors, say) is not tried again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the group is stopped, then waits for the requests in flight.
pub async fn serve(listener: TcpListener, router: Router, most_connections: usize, tasks: Tasks) {
    let stop = tasks.stop_signal();
    let connections = Arc::new(Semaphore::new(most_connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, permit)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tasks.spawn("public connection", async move {
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
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, permit))
        }
        Err(error) => {
            tracing::warn!(error.message = %error, "a connection could not be accepted");
            None
        }
    }
}
