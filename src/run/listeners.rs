//! Binds the two listeners.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use super::StartError;
use crate::{receive, telemetry};

/// The default address of the admin listener.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

/// Binds the address of this key of the configuration.
pub(super) fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { key, address, source };
    let listener = receive::listen::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// If the default admin port is in use, most likely by a second relay on the machine, takes any free port.
pub(super) fn bind_admin(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    const KEY: &str = "admin.listen";
    match bind(KEY, address) {
        Err(StartError::Listen { source, .. })
            if source.kind() == ErrorKind::AddrInUse && address == DEFAULT_ADMIN =>
        {
            let bound = bind(KEY, SocketAddr::new(address.ip(), 0))?;
            telemetry::admin_port_in_use(address, bound.1);
            Ok(bound)
        }
        bound => bound,
    }
}
