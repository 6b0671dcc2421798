//! Several relays that share an outbox in a NATS cluster, with real servers: kills, lost quorums, and relays that stand still.

mod faults;
pub(crate) mod servers;
mod trial;
