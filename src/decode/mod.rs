//! Bytes become events in the Segment spec's shape (stage 2).
