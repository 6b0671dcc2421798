//! Why the relay could not start.

use std::net::SocketAddr;

use crate::accounts::ClientError;
use crate::accounts::sync::StateError;
use crate::deliver::EndpointError;
use crate::fault::Faults;
use crate::history;
use crate::outbox::{OpenError, ReadError};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Mappings(Faults),
    #[error("destination {name}: {source}")]
    Endpoint { name: String, source: EndpointError },
    #[error("cannot listen on {address}; choose another address in {key}, or stop the program that uses it")]
    Listen { key: &'static str, address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Outbox(#[from] OpenError),
    #[error(transparent)]
    History(#[from] history::OpenError),
    #[error("[{section}]: {source}")]
    Api { section: &'static str, source: ClientError },
    #[error("destination {name}: {source}")]
    Recipient { name: String, source: ClientError },
    #[error(
        "the outbox is being filled from {from}, which is not finished: run `accoil-relay outbox move` again, then start the relay"
    )]
    UnfinishedMove { from: String },
    #[error("the outbox cannot be read")]
    Jobs(#[source] ReadError),
    #[error("the list of paused destinations could not be read")]
    Pauses(#[source] ReadError),
    #[error(transparent)]
    SyncState(#[from] StateError),
    #[error("stopped while starting")]
    Stopped,
}

impl StartError {
    /// True if the user must correct the configuration.
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Mappings(_) | Self::Endpoint { .. } | Self::Api { .. } | Self::Recipient { .. })
    }
}
