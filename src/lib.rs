//! accoil-relay: takes events in the form of Segment and Amplitude, and calls Accoil (product engagement scores) with them.
//! Nothing that it accepted is lost on the way.
//!
//! `docs/architecture.md` follows one event through the functions; `docs/glossary.md` explains the words.
//!
//! The stages that an event passes, one folder each:
//!
//! 1. [`receive`]: an HTTP request becomes authenticated, capped bytes of a known source.
//! 2. [`decode`]: bytes become [`event::Event`]s in the Segment spec's shape; one bad item never costs the others.
//! 3. [`mapping`]: an event meets the mappings whose trigger holds; each yields an action's validated payload.
//! 4. [`accoil`]: a payload becomes a request in Accoil's v2 or Segment dialect.
//! 5. [`outbox`]: requests and rejects are committed to disk; only then the sender gets 200.
//! 6. [`deliver`]: requests become HTTP calls, one user's in order, until each is delivered or a dead letter.
//!
//! A stage uses only the stages above it in this list. The exception is [`receive`]: for each request it runs the stages
//! 2 to 5 itself. [`pipeline`] has the stages 2 to 4 as one function.
//!
//! Beside the stages:
//!
//! - [`facts`] passes what happens to events on to the metrics, the log and the history; [`history`] records it.
//! - [`replay`] sends dead letters, rejects and past events again.
//! - [`accounts`] synchronises accounts between Accoil and Vitally.
//! - [`admin`] is the operators' API and the dashboard; [`cli`] has one file for each command.
//! - [`config`] reads the configuration; [`run`] builds everything from it, starts it, and stops it in order.
//! - [`telemetry`] has the log fields and metrics; [`reasons`] is the catalogue of codes for everything that is refused,
//!   skipped, changed, delayed or not delivered.
//! - [`sandbox`] is a stand-in for Accoil and Vitally.
//!
//! Shared by all: [`event`] and [`event_id`], `document` and [`fault`] (files with places, and what is wrong in them),
//! [`http_client`] and [`proxies`], `plain` (texts of others made safe to print), [`tasks`] (every task is spawned there).
//! `crates/mapping` is the mapping language, a crate of its own: triggers, directives, field checks, [`json`] and [`times`].

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
