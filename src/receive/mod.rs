//! HTTP in (stage 1): requests become authenticated, capped bytes of a known source.
