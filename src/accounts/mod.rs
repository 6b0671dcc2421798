//! Accounts beside the stream: Accoil's scores and insights read back, Vitally's accounts read and kept in step.
//!
//! [`accoil`] and [`vitally`] are clients of one API each, [`sync`] compares and writes what differs. Calls to Accoil
//! that come of it go through the outbox like any other. Nothing here deletes anything by itself.

pub mod accoil;
mod answer;
mod budget;
mod http;
mod lenient;
pub mod sync;
pub mod vitally;

pub use http::HttpError;
