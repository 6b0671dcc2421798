//! The two syncs.
