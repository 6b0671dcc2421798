//! The outbox in a NATS JetStream cluster, for several relays: any relay accepts, any relay delivers, a user's order holds.
//!
//! One stream is a table of records (see `subject`), one atomic batch is a transaction (`batch`). A relay has one task that stores
//! (`commit`). It turns commands into a group (`stage`, `change`, `house`, `group`), renews the leases in the same batch (`lease`), and
//! handles the answer (`result`). If no answer arrives, it finds out whether the batch was stored (`unsure`). Another task reads the
//! records of all relays into a local copy (`catch_up`, `follow`, `state`). Readers read the chunks of the lanes that the relay owns (`lane`,
//! `log`). An event is accepted only after its batch is stored, and removed only after the owner of its lane settled it.

mod batch;
mod catch_up;
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
mod fold;
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
mod small_records;
mod stage;
mod state;
mod stream;
mod subject;
mod trail;
mod unsure;

pub use error::OpenError;
pub use handle::Outbox;
pub use options::Options;
