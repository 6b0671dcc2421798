//! Opens an endpoint's HTTP connections: directly or through a proxy, with TLS if the endpoint has it.
//!
//! For an https endpoint a CONNECT tunnel carries TLS, and the endpoint's certificate is checked as usual. Calls to
//! an http endpoint are sent to the proxy with the whole URL in the request line.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_rustls::{DefaultServerNameResolver, HttpsConnector};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::Intercept;
use tower::{Service, ServiceExt as _};

use super::connection::{CallError, Open};
use super::dial::{DialError, Dialer};

/// The most bytes of an answer's status and headers; also the most that is buffered of its body.
const MAX_HEAD_BYTES: usize = 32 * 1024;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The route of an endpoint's connections.
#[derive(Clone)]
pub(super) enum Route {
    Direct,
    /// To the proxy, which makes each call itself.
    Forward(Intercept),
    /// Through the proxy, after a CONNECT.
    Tunnel(Intercept),
    Socks(Intercept),
}

#[derive(Clone)]
pub(super) struct Connector {
    pub(super) dialer: Dialer,
    pub(super) route: Route,
    pub(super) tls: Arc<rustls::ClientConfig>,
    /// The time for finding the address, connecting and TLS, including the proxy's part.
    pub(super) timeout: Duration,
}

impl Connector {
    pub(super) async fn open(&self, endpoint: Uri) -> Result<Open, CallError> {
        tokio::time::timeout(self.timeout, self.connect(endpoint))
            .await
            .unwrap_or(Err(CallError::ConnectTimeout))
    }

    async fn connect(&self, endpoint: Uri) -> Result<Open, CallError> {
        match &self.route {
            Route::Direct => self.through(self.dialer.clone(), endpoint).await,
            Route::Forward(proxy) => self.through(self.dialer.clone(), proxy.uri().clone()).await,
            Route::Tunnel(proxy) => {
                let tunnel = Tunnel::new(proxy.uri().clone(), self.tls(self.dialer.clone()));
                let tunnel = match proxy.basic_auth() {
                    Some(authorization) => tunnel.with_auth(authorization.clone()),
                    None => tunnel,
                };
                self.through(tunnel, endpoint).await
            }
            Route::Socks(proxy) => {
                let local_names = proxy.uri().scheme_str() == Some("socks5");
                let socks = SocksV5::new(proxy.uri().clone(), self.dialer.clone()).local_dns(local_names);
                let socks = match proxy.raw_auth() {
                    Some((user, password)) => socks.with_auth(user.to_owned(), password.to_owned()),
                    None => socks,
                };
                self.through(socks, endpoint).await
            }
        }
    }

    /// Connects to `to` over `transport`, with TLS if `to` is https.
    async fn through<T>(&self, transport: T, to: Uri) -> Result<Open, CallError>
    where
        HttpsConnector<T>: Service<Uri, Error = BoxError>,
        <HttpsConnector<T> as Service<Uri>>::Response: Read + Write + Unpin + Send + 'static,
    {
        let mut connector = self.tls(transport);
        let connecting = async { connector.ready().await?.call(to).await };
        let stream = connecting.await.map_err(|error| self.failed(error))?;
        let (sender, driver) = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(stream).await?;
        Ok(Open { sender, driver: Box::pin(driver) })
    }

    fn tls<T>(&self, transport: T) -> HttpsConnector<T> {
        let names = Arc::new(DefaultServerNameResolver::default());
        HttpsConnector::new(transport, Arc::clone(&self.tls), false, names)
    }

    /// Returns the step that failed. Errors that hyper-rustls returns unwrapped come from TLS.
    fn failed(&self, error: BoxError) -> CallError {
        let is_tls = error.is::<io::Error>();
        match (&self.route, error.downcast::<DialError>()) {
            (Route::Direct, Ok(error)) => match *error {
                DialError::Resolve(error) => CallError::Resolve(error),
                DialError::Connect(error) => CallError::Connect(error),
            },
            (_, Ok(error)) => CallError::Proxy(error),
            (Route::Direct | Route::Tunnel(_) | Route::Socks(_), Err(error)) if is_tls => {
                CallError::Tls(io::Error::other(error))
            }
            (_, Err(error)) => CallError::Proxy(error),
        }
    }

    /// Returns the header that each call carries for the proxy.
    pub(super) fn proxy_authorization(&self) -> Option<&HeaderValue> {
        match &self.route {
            Route::Forward(proxy) => proxy.basic_auth(),
            Route::Direct | Route::Tunnel(_) | Route::Socks(_) => None,
        }
    }
}
