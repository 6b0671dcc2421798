//! Opens TCP connections: resolves the name and tries its addresses one shortly after another (RFC 8305), with
//! hyper-util's resolver and connector. The first that answers wins, so that a dead address costs a quarter of a
//! second.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

/// The time between the starts of two attempts, unless one fails before.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(250);
/// The most addresses of one name that are tried; each may use a socket.
const MAX_ADDRESSES: usize = 16;

/// Looks up the addresses of a name.
pub type Resolver = BoxCloneSyncService<Name, Vec<SocketAddr>, io::Error>;

/// Why there is no TCP connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error(transparent)]
    Resolve(io::Error),
    #[error(transparent)]
    Connect(io::Error),
}

/// A connector for tower: opens a connection to the URI's host and port.
#[derive(Clone)]
pub(super) struct Dialer {
    resolver: Resolver,
    tcp: HttpConnector,
}

impl Dialer {
    /// Uses the system's resolver.
    pub(super) fn new() -> Self {
        Self::with_resolver(BoxCloneSyncService::new(GaiResolver::new().map_response(Iterator::collect)))
    }

    pub(super) fn with_resolver(resolver: Resolver) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        Self { resolver, tcp }
    }

    async fn dial(mut self, uri: Uri) -> Result<TokioIo<TcpStream>, DialError> {
        let usual_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(usual_port);
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let mut waiting = match host.parse::<IpAddr>() {
            Ok(ip) => VecDeque::from([ip]),
            Err(_) => in_order(self.resolve(host).await.map_err(DialError::Resolve)?),
        };
        waiting.truncate(MAX_ADDRESSES);
        let mut failure = None;
        let mut attempts = FuturesUnordered::new();
        loop {
            if let Some(ip) = waiting.pop_front() {
                attempts.push(connect(self.tcp.clone(), SocketAddr::new(ip, port)));
            }
            tokio::select! {
                outcome = attempts.next() => match outcome {
                    Some(Ok(stream)) => return Ok(stream),
                    Some(Err(error)) => failure = Some(error),
                    None => break,
                },
                () = tokio::time::sleep(ATTEMPT_INTERVAL), if !waiting.is_empty() => {}
            }
        }
        let nowhere = || DialError::Resolve(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
        Err(failure.map_or_else(nowhere, DialError::Connect))
    }

    async fn resolve(&mut self, host: &str) -> io::Result<Vec<SocketAddr>> {
        let name: Name = host.parse().map_err(io::Error::other)?;
        self.resolver.ready().await?.call(name).await
    }
}

async fn connect(mut tcp: HttpConnector, address: SocketAddr) -> io::Result<TokioIo<TcpStream>> {
    let uri = Uri::builder().scheme("http").authority(address.to_string()).path_and_query("/").build();
    let uri = uri.map_err(io::Error::other)?;
    let connector = tcp.ready().await.map_err(|error| cause(&error))?;
    connector.call(uri).await.map_err(|error| cause(&error))
}

/// Returns the error of the operating system.
fn cause(error: &(dyn Error + 'static)) -> io::Error {
    let innermost = innermost(error);
    let kind = innermost.downcast_ref::<io::Error>().map_or(io::ErrorKind::Other, io::Error::kind);
    io::Error::new(kind, innermost.to_string())
}

/// Returns the error at the end of the chain of causes.
pub(super) fn innermost<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

/// Returns the resolver's first address, then the families in turn, so that a host without IPv6 does not wait for all
/// IPv6 addresses.
fn in_order(addresses: Vec<SocketAddr>) -> VecDeque<IpAddr> {
    let mut addresses = addresses.into_iter().map(|address| address.ip()).peekable();
    let first_is_v4 = addresses.peek().is_some_and(IpAddr::is_ipv4);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        addresses.partition(|ip| ip.is_ipv4() == first_is_v4);
    let mut ordered = VecDeque::new();
    while !first.is_empty() || !second.is_empty() {
        ordered.extend(first.pop_front());
        ordered.extend(second.pop_front());
    }
    ordered
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns() {
        let addresses = ["[::1]:0", "[::2]:0", "[::3]:0", "127.0.0.1:0"].map(|text| text.parse().unwrap());
        let ordered: Vec<String> = in_order(addresses.to_vec()).iter().map(ToString::to_string).collect();
        assert_eq!(ordered, ["::1", "127.0.0.1", "::2", "::3"]);
    }
}
