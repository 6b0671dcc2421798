//! Accoil's read API, `GET /v1/accounts` and `GET /v2/users`.
//!
//! A [`Query`] names one account, the [`Client`] reads it, and a [`Cache`] in front of the client avoids repeated calls.
//! Never writes to Accoil; no message contains the token.

mod account;
mod cache;
mod client;
mod error;
mod query;
mod users;

pub use account::{Account, Expansions, Metrics};
pub use cache::{Cache, CachedAccount};
pub use client::{Client, FetchedAccount};
pub use error::{GetError, Refusal};
pub use query::{ExpandBlocks, Lookup, Query, QueryError};
pub use users::UserKey;

/// The keys that `[accounts]` must have, named in the error when there is no such section.
pub const KEYS: &str = "token (made in Accoil under Settings > Product Settings > API Token), and workspace_id, the number \
                        after /scores/ in the app's address";
