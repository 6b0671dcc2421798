//! One file a command.

pub mod sandbox;
pub mod check;
pub mod config;
