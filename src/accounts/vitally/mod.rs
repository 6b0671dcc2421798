//! Vitally's REST API for accounts (`seeds/vitally-rest-api-accounts.txt`, `facts/vitally.md`).

mod account;

pub use account::Account;
