//! The composition root: build, start, supervise, stop in order.
