//! Vitally's REST API for accounts.
//!
//! [`Client`] has one function per call; [`Pages`] reads a whole list. Nothing is deleted unless a person asked for it.

mod account;
mod client;
mod error;
mod listing;
mod pages;
mod write;

pub use account::Account;
pub use client::Client;
pub use error::VitallyError;
pub(super) use listing::account as account_path;
pub use listing::{Listing, MAX_PAGE_SIZE, Sort, Status};
pub use pages::{ListedAccount, Page, Pages};
pub use write::{Changes, NewAccount};
