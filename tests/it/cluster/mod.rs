//! Several relays that share an outbox in a NATS cluster, with real servers: kills, lost quorums, cut connections, and
//! relays and servers that stand still.

mod faults;
pub(crate) mod holding_proxy;
mod proxy;
pub(crate) mod servers;
mod trial;
