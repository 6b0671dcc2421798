//! The one builder of `reqwest` clients, for every HTTP call but deliveries: Accoil's read API, Vitally, commands.
//!
//! TLS is rustls with ring and the system's certificates. Only the proxies of the configuration's environment are used. Redirects are never
//! followed, because the other host may not be entitled to the body or the key. Answers are read up to a limit.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, Response};

use crate::proxies::{Proxies, ProxyError};

/// The time for resolving the name, connecting and TLS, unless a caller sets another.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why no client could be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("TLS could not be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the HTTP client could not be set up: {}", root_cause(.0))]
    Client(#[from] reqwest::Error),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// Why the body of an answer could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the answer has more than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
    #[error("the connection was lost before the answer was complete: {}", root_cause(.0))]
    Broken(#[from] reqwest::Error),
}

/// Returns the certificates that the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
pub fn system_roots() -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Returns a TLS configuration that trusts only these certificates.
pub fn tls_config_with(roots: rustls::RootCertStore) -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Returns a builder with the settings that all clients share. It uses these proxies and no others.
pub fn builder(proxies: &Proxies) -> Result<ClientBuilder, BuildError> {
    let tls = tls_config_with(system_roots())?;
    let builder = reqwest::Client::builder().no_proxy();
    let builder = match proxies.for_reqwest()? {
        Some(proxy) => builder.proxy(proxy),
        None => builder,
    };
    Ok(builder
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("accoil-relay/", env!("CARGO_PKG_VERSION"))))
}

/// Reads the whole body, if it has no more than `max_bytes` bytes.
pub async fn read_body(mut response: Response, max_bytes: usize) -> Result<Bytes, BodyError> {
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > max_bytes {
            return Err(BodyError::TooLarge { max_bytes });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// Reads the first `max_bytes` bytes of the body.
pub async fn read_beginning(mut response: Response, max_bytes: usize) -> Result<Bytes, BodyError> {
    let mut body = BytesMut::new();
    while body.len() < max_bytes
        && let Some(piece) = response.chunk().await?
    {
        body.extend_from_slice(&piece);
    }
    body.truncate(max_bytes);
    Ok(body.freeze())
}

/// Returns the innermost cause of a reqwest error, whose own text names only the address.
pub fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.source().is_none() { error.to_string() } else { cause.to_string() }
}
