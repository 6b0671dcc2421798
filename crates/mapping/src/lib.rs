//! Segment's mapping language: turns an event into the fields of a call, with the same results as Segment's own engine.
//!
//! - [`json`]: a JSON value that borrows from the text it was read from and keeps the order of its members.
//! - [`trigger`]: the condition under which a mapping applies to an event, in Segment's FQL.
//! - [`directive`]: where a field's value comes from: `@path`, `@template`, `@if`, `@liquid` and the others.
//! - [`check`]: whether the value is valid for its field.
//! - [`times`]: the one reader of dates.
//!
//! Everything here is pure: no clock, no file, no network. No input makes it panic or recurse without bound.

pub mod check;
pub mod directive;
mod javascript;
pub mod json;
mod nearest;
pub mod times;
pub mod trigger;

pub use nearest::nearest;
