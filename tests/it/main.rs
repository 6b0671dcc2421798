//! The one integration test binary: a file a stage, each through its public door.

mod reference;
mod reference_triggers;
