//! The configuration: one struct a section.
