//! Accounts, beside the stream of events: reads them from Accoil and Vitally, and keeps the two in step.
//!
//! [`accoil`] and [`vitally`] are clients of one API each. [`sync`] compares both sides and writes the differences. Nothing
//! here deletes an account unless a person asked for it.

pub mod accoil;
mod answer;
mod http;
mod lenient;
mod pace;
pub mod sync;
pub mod vitally;

pub use http::{CallSettings, ClientError, HttpError};
