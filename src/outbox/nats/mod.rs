//! The outbox in a NATS JetStream cluster, for several relays: any relay accepts, any relay delivers, a user's order holds.
//!
//! One stream is a table of records (see `subject`), one atomic batch is a transaction (`batch`). A relay has one task that stores
//! (`commit`): commands become a group (`stage`, `change`, `house`, `group`), leases are renewed with it (`lease`), the answer decides
//! (`result`), or has to be found out (`unsure`). Another task follows the records of all relays into a local copy (`follow`,
//! `state`). Readers read the chunks of the lanes that the relay owns (`lane`, `log`). Nothing is accepted before a batch is stored,
//! and nothing that was accepted is removed before it is settled by the owner of its lane.

mod batch;
mod change;
mod codec;
mod command;
mod commit;
mod connect;
mod copy_folder;
mod copy_reads;
mod error;
mod failure_records;
mod fits;
mod follow;
mod group;
mod handle;
mod house;
mod ids;
mod jobs;
mod lane;
mod lane_access;
mod lease;
mod log;
mod moved;
mod options;
mod result;
mod scan;
mod shared;
mod stage;
mod state;
mod stream;
mod subject;
mod trail;
mod unsure;

pub use error::OpenError;
pub use handle::Outbox;
pub use options::Options;
