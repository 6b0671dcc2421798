//! Where a destination's calls go: its base URL taken apart once, with the headers every call carries.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Uri};
use rustls::pki_types::ServerName;

/// Unless another is set.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A place to call.
#[derive(Clone)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    /// Set for https.
    pub tls: Option<Tls>,
    /// For finding the name, connecting and TLS.
    pub connect_timeout: Duration,
    /// Path that comes before each call's own; without a trailing slash.
    prefix: String,
    headers: HeaderMap,
    /// A path whose calls carry other headers: the destination's one key has two forms (`facts/accoil.md` 0).
    exception: Option<(&'static str, HeaderMap)>,
}

/// How to speak TLS with it.
#[derive(Clone)]
pub struct Tls {
    pub config: Arc<rustls::ClientConfig>,
    pub name: ServerName<'static>,
}

/// Why a base URL cannot be called. Never shows the authorization.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("{url}: not an http or https URL with a host")]
    Url { url: String },
    #[error("{url}: its host is not a name TLS can check")]
    Name { url: String },
    #[error("the key cannot be put in a header: it has control characters in it")]
    Authorization,
    #[error("no trusted certificates were found on this system; install its ca-certificates")]
    NoRoots,
    #[error("TLS could not be set up")]
    Tls(#[from] rustls::Error),
}

impl Endpoint {
    /// An endpoint without any authorization yet.
    pub fn new(base_url: &str) -> Result<Self, EndpointError> {
        let invalid = || EndpointError::Url { url: base_url.to_owned() };
        let uri: Uri = base_url.parse().map_err(|_| invalid())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid()),
        };
        let authority = uri.authority().ok_or_else(invalid)?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = if secure { Some(tls(&host, base_url)?) } else { None };
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(|_| invalid())?;
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let connect_timeout = CONNECT_TIMEOUT;
        let headers = headers(host_header);
        Ok(Self { host, port, tls, connect_timeout, prefix, headers, exception: None })
    }

    /// Gives up connecting after this long.
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sends this header value with every call.
    pub fn with_authorization(mut self, authorization: &str) -> Result<Self, EndpointError> {
        self.headers.insert(AUTHORIZATION, sensitive(authorization)?);
        Ok(self)
    }

    /// Sends another value with calls of this path.
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

    /// The path of a call on the wire.
    pub fn uri(&self, path: &str) -> Option<Uri> {
        if self.prefix.is_empty() { path.parse().ok() } else { format!("{}{path}", self.prefix).parse().ok() }
    }

    /// What every call of this path carries.
    pub fn headers(&self, path: &str) -> &HeaderMap {
        match &self.exception {
            Some((exception, headers)) if *exception == path => headers,
            _ => &self.headers,
        }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The headers hold the key.
        formatter
            .debug_struct("Endpoint")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

fn headers(host: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("accoil-relay/", env!("CARGO_PKG_VERSION"))));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

/// A header value that no log or debug output shows.
fn sensitive(value: &str) -> Result<HeaderValue, EndpointError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| EndpointError::Authorization)?;
    value.set_sensitive(true);
    Ok(value)
}

fn tls(host: &str, url: &str) -> Result<Tls, EndpointError> {
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| EndpointError::Name { url: url.to_owned() })?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(EndpointError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Tls { config: Arc::new(config), name })
}
