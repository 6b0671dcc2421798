//! Feeds random bytes to paths and `@template`.

#![no_main]

#[path = "../checks/mod.rs"]
#[expect(dead_code, reason = "each target uses one check")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::path(bytes));
