//! Triggers, directives, field tables and presets (stage 3).

pub mod directive;
