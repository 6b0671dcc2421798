//! What only the SQLite backend has: its disk, damage, locks, versions and clock.

mod clock;
mod damage;
mod groups;
mod interrupted;
mod owner;
pub(crate) mod room;
mod rows;
mod versions;
