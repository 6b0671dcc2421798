//! Payloads become Accoil requests (stage 4).
