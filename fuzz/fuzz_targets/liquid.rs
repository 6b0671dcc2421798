//! Feeds random bytes to `@liquid`.

#![no_main]

#[path = "../checks/mod.rs"]
#[expect(dead_code, reason = "each target uses one check")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::liquid(bytes));
