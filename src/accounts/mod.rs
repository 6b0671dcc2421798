//! Accounts beside the stream: Accoil's scores and insights read back, Vitally's accounts read and kept in step.
//!
//! [`accoil`] and [`vitally`] are clients of one API each, [`sync`] compares both sides and writes what differs. Nothing
//! here deletes anything by itself.

pub mod accoil;
mod answer;
mod http;
mod lenient;
mod pace;
pub mod sync;
pub mod vitally;

pub use http::{CallSettings, ClientError, HttpError};
