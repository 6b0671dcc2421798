//! The outbox in a NATS JetStream cluster, for several relays: any relay accepts, any relay delivers, a user's order holds.
//!
//! One stream is a table of records (see `subject`), one atomic batch is a transaction (`batch`). A relay has one task that stores
//! (`commit`, `stage`, `lease`), one that follows the records of all relays into a local copy (`follow`, `state`), and readers of the
//! chunks of the lanes that it owns (`lane`, `log`). Nothing is accepted before a batch is stored, and nothing that was accepted is
//! removed before it is settled by the owner of its lane.

mod batch;
mod codec;
mod command;
mod commit;
mod connect;
mod error;
mod follow;
mod handle;
mod jobs;
mod lane;
mod lease;
mod log;
mod options;
mod scan;
mod shared;
mod stage;
mod state;
mod stream;
mod subject;

pub use error::OpenError;
pub use handle::Outbox;
pub use options::Options;
