//! Feeds random bytes to the JSON readers, strict and lenient.

#![no_main]

#[path = "../checks/mod.rs"]
#[expect(dead_code, reason = "each target uses one check")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::json(bytes));
