//! Vitally's API for accounts: every endpoint and parameter of the seed, whatever may come back, and the commands.

mod calls;
mod canned;
mod commands;
mod stand_in;
mod trouble;
