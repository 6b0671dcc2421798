//! Vitally's API for accounts: every documented endpoint and parameter, every possible answer, and the commands.

mod calls;
mod canned;
mod commands;
mod stand_in;
mod trouble;
