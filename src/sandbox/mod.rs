//! A stand-in Accoil for the demo and for tests.
