//! The durable outbox (stage 5).
