//! The one integration test binary: a file a stage, each through its public door.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test panics, and prints its seed"
)]

mod reference;
mod reference_triggers;
