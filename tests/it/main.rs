//! The one integration test binary: a file a stage, each through its public door.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod clients;
mod http;
mod outbox;
mod receive;
mod reference;
mod reference_directives;
mod reference_fields;
mod relay;
mod sandbox;
mod serve;
