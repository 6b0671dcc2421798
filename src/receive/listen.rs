//! The accept loop: limits the number of connections, closes idle and slow ones, and lets running requests finish at
//! a stop.
//!
//! Beyond the limit a few more connections are accepted, so that health checks are always answered. Any other request
//! on one of these waits for a place.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use super::memory::{HeadRoom, Memory, Peer};
use super::traffic::NoPlace;
use super::wire::{State, Wire};
use crate::tasks::Tasks;

/// After a failed accept (for example without file descriptors) the next one waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The time between two log lines about failed accepts.
const LINE_INTERVAL: Duration = Duration::from_secs(60);
/// The most bytes of a request's head; also the most that is read from a connection at a time.
const MAX_HEAD: usize = 32 * 1024;
/// The connections that the system completes before they are accepted; it may allow fewer.
const BACKLOG: u32 = 1024;
/// The bytes of answers that the system holds for a client that does not read them (Linux doubles it). Without it, the
/// system would hold megabytes for each, and the relay would answer thousands of requests that nobody reads.
const SEND_BUFFER: u32 = 32 * 1024;
/// The number of connections beyond the limit.
const EXTRA_CONNECTIONS: usize = 32;
/// On these connections, the time for a head to arrive, and for another connection to end.
const EXTRA_TIMEOUT: Duration = Duration::from_secs(5);
/// While the relay stops, a client that does not read is disconnected within this time.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The limits on a listener's connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// The most open connections; further ones wait.
    pub connections: usize,
    /// An idle connection is closed after this long. The head of a request must arrive within it too.
    pub keep_alive: Duration,
}

/// Returns a listener on this address.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the last run's connections.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What answers the requests of a listener.
pub trait Routes:
    Service<Request<Body>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Routes for S where
    S: Service<Request<Body>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Serves until the group is stopped; the group's tasks are the connections. `on_unreadable_head` gets the status
/// with which hyper answers a request whose head it cannot read, because no route sees such a request.
pub async fn serve<S: Routes>(
    listener: TcpListener,
    routes: S,
    limits: ConnectionLimits,
    memory: Memory,
    on_unreadable_head: impl Fn(u16) + Clone + Send + 'static,
    tasks: Tasks,
) {
    let stop = tasks.stop_signal();
    let places = Places {
        usual: Arc::new(Semaphore::new(limits.connections)),
        beyond: Arc::new(Semaphore::new(EXTRA_CONNECTIONS)),
    };
    let gate = Arc::new(Gate(Semaphore::new(1)));
    let mut peers = Peers::default();
    let mut failures = Failures::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, address, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                failures.log(&error, Instant::now());
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let peer = peers.peer(address.ip());
        let wire = Wire::new(stream, HeadRoom::new(memory.clone(), peer.clone()));
        let connection =
            Connection { routes: routes.clone(), peer, place, gate: Arc::clone(&gate), state: wire.state() };
        let serving = connection.serve(wire, limits.keep_alive, stop.clone());
        let on_unreadable_head = on_unreadable_head.clone();
        tasks.spawn("connection", async move {
            // If a connection ends badly, the requests that had arrived completely are stored anyway.
            if let Err(error) = serving.await
                && error.is_parse()
            {
                on_unreadable_head(if error.is_parse_too_large() { 431 } else { 400 });
            }
        });
    }
}

async fn accept(listener: &TcpListener, places: &Places) -> io::Result<(TcpStream, SocketAddr, Place)> {
    let place = places.next().await?;
    let (stream, address) = listener.accept().await?;
    let _ = stream.set_nodelay(true);
    // A place may have become free during the wait.
    Ok((stream, address, place.better()))
}

struct Connection<S> {
    routes: S,
    peer: Peer,
    place: Place,
    gate: Arc<Gate>,
    state: Arc<State>,
}

impl<S: Routes> Connection<S> {
    async fn serve(self, wire: Wire, keep_alive: Duration, stop: CancellationToken) -> hyper::Result<()> {
        let head_timeout = if self.place.is_beyond() { EXTRA_TIMEOUT.min(keep_alive) } else { keep_alive };
        let state = Arc::clone(&self.state);
        let this = Arc::new(self);
        let service = service_fn(move |request| Arc::clone(&this).answer(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_buf_size(MAX_HEAD)
            .max_header_size(MAX_HEAD)
            .serve_connection(TokioIo::new(wire), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => return ended,
                () = tokio::time::sleep(STOP_CHECK_INTERVAL) => if state.is_blocked.load(Ordering::Relaxed) { return Ok(()) },
            }
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response, Infallible> {
        if self.state.is_pipelined.load(Ordering::Relaxed) {
            self.gate.pass().await;
        }
        let mut request = request.map(Body::new);
        let is_health = matches!(request.uri().path(), "/healthz" | "/readyz");
        if !is_health && !self.place.take().await {
            request.extensions_mut().insert(NoPlace);
        }
        request.extensions_mut().insert(self.peer.clone());
        self.routes.clone().oneshot(request).await
    }
}

/// Requests of clients that do not wait for their answers pass one at a time, and only after every task that could run
/// has run. So a healthy sender never queues behind more than one or two of them, however many such clients there are.
struct Gate(Semaphore);

impl Gate {
    async fn pass(&self) {
        let turn = self.0.acquire().await;
        tokio::task::yield_now().await;
        drop(turn);
    }
}

/// The number of connections that may be open.
struct Places {
    usual: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
}

impl Places {
    async fn next(&self) -> io::Result<Place> {
        let held = match Arc::clone(&self.usual).try_acquire_owned() {
            Ok(permit) => PlacePermit::Usual(permit),
            Err(_) => {
                PlacePermit::Beyond(Arc::clone(&self.beyond).acquire_owned().await.map_err(io::Error::other)?)
            }
        };
        let is_usual = AtomicBool::new(matches!(held, PlacePermit::Usual(_)));
        Ok(Place { usual: Arc::clone(&self.usual), is_usual, held: tokio::sync::Mutex::new(held) })
    }
}

/// A connection's place.
struct Place {
    usual: Arc<Semaphore>,
    /// True from when it is within the limit.
    is_usual: AtomicBool,
    held: tokio::sync::Mutex<PlacePermit>,
}

/// The permit, which is held until the connection ends.
enum PlacePermit {
    Usual(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit),
    Beyond(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit),
}

impl Place {
    /// Returns the same place, within the limit if there is room now.
    fn better(mut self) -> Self {
        let held = self.held.get_mut();
        if matches!(held, PlacePermit::Beyond(_))
            && let Ok(permit) = Arc::clone(&self.usual).try_acquire_owned()
        {
            *held = PlacePermit::Usual(permit);
            *self.is_usual.get_mut() = true;
        }
        self
    }

    fn is_beyond(&self) -> bool {
        !self.is_usual.load(Ordering::Acquire)
    }

    /// Waits for a place within the limit; returns false if none became free in time.
    async fn take(&self) -> bool {
        if !self.is_beyond() {
            return true;
        }
        let mut held = self.held.lock().await;
        if matches!(*held, PlacePermit::Beyond(_)) {
            match tokio::time::timeout(EXTRA_TIMEOUT, Arc::clone(&self.usual).acquire_owned()).await {
                Ok(Ok(permit)) => {
                    *held = PlacePermit::Usual(permit);
                    self.is_usual.store(true, Ordering::Release);
                }
                _ => return false,
            }
        }
        true
    }
}

/// The addresses with open connections.
#[derive(Default)]
struct Peers {
    known: HashMap<IpAddr, Peer>,
    clean_at: usize,
}

impl Peers {
    fn peer(&mut self, address: IpAddr) -> Peer {
        if self.known.len() >= self.clean_at {
            self.known.retain(|_, peer| peer.is_shared());
            self.clean_at = (self.known.len() * 2).max(64);
        }
        self.known.entry(address).or_insert_with(|| Peer::new(address)).clone()
    }
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

    /// Counts a failure; returns true if it must be logged.
    fn is_due(&mut self, now: Instant) -> bool {
        if self.logged.is_some_and(|at| now < at + LINE_INTERVAL) {
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

    /// With the usual 128, further connections would wait until the relay accepts some.
    #[tokio::test]
    async fn many_connections_wait_for_their_turn() {
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for number in 0..300 {
            let connect = tokio::net::TcpStream::connect(address);
            let connected = tokio::time::timeout(Duration::from_secs(30), connect).await;
            waiting.push(connected.unwrap_or_else(|_| panic!("{number} connections wait")).unwrap());
        }
    }

    #[test]
    fn addresses_without_connections_are_forgotten() {
        let mut peers = Peers::default();
        let stays = peers.peer([127, 0, 0, 1].into());
        for last in 0..=255 {
            for third in 0..=255 {
                peers.peer([10, 0, third, last].into());
            }
        }
        assert!(peers.known.len() < 200, "{}", peers.known.len());
        assert!(stays.is_shared());
    }
}
