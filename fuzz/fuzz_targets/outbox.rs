//! Changes the files of an outbox at random before a start.

#![no_main]

#[path = "../checks/mod.rs"]
#[expect(dead_code, reason = "each target uses one check")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::outbox(bytes));
