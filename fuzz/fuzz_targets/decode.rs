//! Feeds random bytes to the decode stage, as a body of each kind of sender.

#![no_main]

#[path = "../checks/mod.rs"]
#[expect(dead_code, reason = "each target uses one check")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::decode(bytes));
