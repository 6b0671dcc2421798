//! Requests become HTTP calls (stage 6).
