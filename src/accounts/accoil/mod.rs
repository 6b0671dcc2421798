//! Accoil's read API, `GET /v1/accounts` (`seeds/accoil-get-accounts.txt`, `facts/accoil.md` 5).

mod account;

pub use account::{Account, Expansions, Metrics};
