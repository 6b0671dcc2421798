//! accoil-relay: Segment- and Amplitude-shaped events in, Accoil calls out, nothing lost on the way.
//!
//! `docs/architecture.md` follows one event through the functions; `docs/glossary.md` explains the words.
//!
//! The stages that an event passes, one folder each; dependencies point along the flow, never back:
//!
//! 1. [`receive`]: an HTTP request becomes authenticated, capped bytes of a known source.
//! 2. [`decode`]: bytes become [`event::Event`]s in the Segment spec's shape; one bad item never costs the others.
//! 3. [`mapping`]: an event meets the mappings whose trigger holds; each yields an action's validated payload.
//! 4. [`accoil`]: a payload becomes a request in Accoil's v2 or Segment dialect.
//!    [`pipeline`] runs the stages 2 to 4 as one function.
//! 5. [`outbox`]: requests and rejects are committed to disk; only then the sender gets 200.
//! 6. [`deliver`]: requests become HTTP calls, one user's in order, until each is delivered or a dead letter.
//!
//! `crates/mapping` is the mapping language, a crate of its own: triggers, directives, field checks, [`json`] and [`times`].
//!
//! Beside the stream: [`replay`] sends again what failed, [`accounts`] synchronises accounts between Accoil and
//! Vitally, [`admin`] is the operators' API, [`sandbox`] is a stand-in for Accoil and Vitally, [`config`] reads the
//! configuration, [`run`] builds everything and stops it in order, [`cli`] has one file for each command, [`facts`]
//! passes what happens to events on to the metrics, the log and the history, [`history`] records what became of every
//! event, [`telemetry`] has the log fields and metrics, and [`reasons`] is the catalogue of codes for everything that is
//! refused, skipped, changed, delayed or not delivered.

pub use accoil_mapping::{json, times};

mod document;
pub mod event;
pub mod event_id;
pub mod fault;
pub mod http_client;
mod plain;
pub mod proxies;
pub mod reasons;
pub mod tasks;

pub mod receive;

pub mod decode;

pub mod mapping;

pub mod accoil;

pub mod facts;

pub mod pipeline;

pub mod outbox;

pub mod history;

pub mod deliver;

pub mod accounts;

pub mod replay;

pub mod admin;

#[cfg(feature = "sandbox")]
pub mod sandbox;

pub mod config;

pub mod telemetry;

pub mod run;

pub mod cli;
