//! The only integration test binary, with one file per stage. Each test uses the public interface of its stage.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a test prints its seed and its figures")]

mod accounts_accoil;
mod admin;
mod backup;
mod child;
mod clients;
mod cluster;
mod command_line;
mod commands;
mod crash;
mod dead_letters;
mod deployment;
mod docs_actions;
mod docs_architecture;
mod docs_http_api;
mod docs_links;
mod docs_mappings;
mod facts;
mod faults;
mod field_cases;
mod fuzz_corpus;
mod history;
mod http;
mod import;
mod map;
mod metrics;
mod modules;
mod outage;
mod outbox;
mod pages;
mod past;
mod power;
mod readme;
mod receive;
mod reference;
mod reference_directives;
mod reference_fields;
mod reference_triggers;
mod relay;
mod reload;
mod replay_kills;
mod replays;
mod retries;
mod sandbox;
mod sandbox_accounts;
mod schema;
mod serve;
mod shutdown;
mod sync;
mod top;
mod troubleshooting;
mod vitally;
mod waiting;
