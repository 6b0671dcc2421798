//! The one integration test binary: a file a stage, each through its public door.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test, as tests do")]

mod http;
mod sandbox;
mod reference_directives;
