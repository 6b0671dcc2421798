//! The place that a destination's calls go to: its base URL, parsed once, and the headers of every call.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Uri};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;

use super::connection::{CallError, Open};
use super::connector::{Connector, Route};
use super::dial::{Dialer, Resolver};
use crate::http_client;
use crate::proxies::{Proxies, ProxyError};

/// Used unless another is set.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A place to call.
#[derive(Clone)]
pub struct Endpoint {
    /// Scheme, host and port.
    origin: Uri,
    connector: Connector,
    /// The text before each call's path in a request line: the base URL's path without a trailing slash, with the
    /// origin before it for a forwarding proxy.
    prefix: String,
    headers: HeaderMap,
    /// A path with other headers, because the destination's key has two forms.
    exception: Option<(&'static str, HeaderMap)>,
}

/// Why a base URL cannot be called. Never shows the authorization.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("{url}: not an http or https URL with a host")]
    Url { url: String },
    #[error("{url}: TLS cannot check its host name")]
    Name { url: String },
    #[error("the key has control characters and cannot be sent in a header")]
    Authorization,
    #[error("this system has no trusted certificates; install the package ca-certificates")]
    NoRoots,
    #[error("TLS could not be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

impl Endpoint {
    /// Returns an endpoint without authorization and without a proxy.
    pub fn new(base_url: &str) -> Result<Self, EndpointError> {
        let invalid = || EndpointError::Url { url: base_url.to_owned() };
        let uri: Uri = base_url.parse().map_err(|_| invalid())?;
        let (scheme, usual_port) = match uri.scheme_str() {
            Some("http") => ("http", 80),
            Some("https") => ("https", 443),
            _ => return Err(invalid()),
        };
        let authority = uri.authority().ok_or_else(invalid)?;
        let host = authority.host();
        let port = authority.port_u16().unwrap_or(usual_port);
        let origin = Uri::builder().scheme(scheme).authority(format!("{host}:{port}")).path_and_query("/");
        let origin = origin.build().map_err(|_| invalid())?;
        let tls = if scheme == "https" {
            let name = host.trim_matches(['[', ']']).to_owned();
            ServerName::try_from(name).map_err(|_| EndpointError::Name { url: base_url.to_owned() })?;
            system_tls()?
        } else {
            // Never used for a connection.
            http_client::tls_config_with(RootCertStore::empty())?
        };
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(|_| invalid())?;
        Ok(Self {
            origin,
            connector: Connector {
                dialer: Dialer::new(),
                route: Route::Direct,
                tls: Arc::new(tls),
                timeout: CONNECT_TIMEOUT,
            },
            prefix: uri.path().trim_end_matches('/').to_owned(),
            headers: headers(host_header),
            exception: None,
        })
    }

    /// Sets the time limit for connecting.
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connector.timeout = timeout;
        self
    }

    /// Uses another resolver than the system's.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Resolver) -> Self {
        self.connector.dialer = Dialer::with_resolver(resolver);
        self
    }

    /// Calls it through the proxy for it, if there is one.
    pub fn with_proxies(mut self, proxies: &Proxies) -> Result<Self, EndpointError> {
        let Some(proxy) = proxies.intercept(&self.origin)? else { return Ok(self) };
        let is_secure = self.origin.scheme_str() == Some("https");
        if !is_secure && proxy.uri().scheme_str() == Some("https") {
            self.connector.tls = Arc::new(system_tls()?);
        }
        self.connector.route = match proxy.uri().scheme_str() {
            Some("socks5" | "socks5h") => Route::Socks(proxy),
            _ if is_secure => Route::Tunnel(proxy),
            _ => {
                let origin = self.origin.to_string();
                self.prefix = format!("{}{}", origin.trim_end_matches('/'), self.prefix);
                Route::Forward(proxy)
            }
        };
        if let Some(authorization) = self.connector.proxy_authorization() {
            self.headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        Ok(self)
    }

    /// Sends this header value with every call.
    pub fn with_authorization(mut self, authorization: &str) -> Result<Self, EndpointError> {
        self.headers.insert(AUTHORIZATION, sensitive(authorization)?);
        Ok(self)
    }

    /// Sends another value with calls to this path. Must be the last of the settings, because it copies the other
    /// headers.
    pub fn with_authorization_at(
        mut self,
        path: &'static str,
        authorization: &str,
    ) -> Result<Self, EndpointError> {
        let mut headers = self.headers.clone();
        headers.insert(AUTHORIZATION, sensitive(authorization)?);
        self.exception = Some((path, headers));
        Ok(self)
    }

    /// Returns the URI of a call's request line.
    pub fn uri(&self, path: &str) -> Option<Uri> {
        if self.prefix.is_empty() { path.parse().ok() } else { format!("{}{path}", self.prefix).parse().ok() }
    }

    /// Returns the headers of every call to this path.
    pub fn headers(&self, path: &str) -> &HeaderMap {
        match &self.exception {
            Some((exception, headers)) if *exception == path => headers,
            _ => &self.headers,
        }
    }

    /// Opens a connection.
    pub(super) async fn open(&self) -> Result<Open, CallError> {
        self.connector.open(self.origin.clone()).await
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The headers contain the key.
        formatter.debug_struct("Endpoint").field("origin", &self.origin).finish_non_exhaustive()
    }
}

fn system_tls() -> Result<rustls::ClientConfig, EndpointError> {
    let roots = http_client::system_roots();
    if roots.is_empty() {
        return Err(EndpointError::NoRoots);
    }
    Ok(http_client::tls_config_with(roots)?)
}

fn headers(host: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("accoil-relay/", env!("CARGO_PKG_VERSION"))));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

/// Returns a header value that no log or debug output shows.
fn sensitive(value: &str) -> Result<HeaderValue, EndpointError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| EndpointError::Authorization)?;
    value.set_sensitive(true);
    Ok(value)
}
