//! The Accoil products that events go to, with their mappings and limits.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::table::section;
use super::value::{self, Word};
use crate::event::Dialect;
use crate::fault::LocatedText;

/// A key that begins with `stg_`, in any case, belongs to staging (`docs/accoil-api.md#keys-and-hosts`).
const PRODUCTION: &str = "https://in.accoil.com";
const STAGING: &str = "https://instaging.accoil.com";

section! {
    /// One Accoil product that events go to.
    List [destinations] pub struct Destination {
        /// Unique. 1 to 64 letters, digits, hyphens and underscores.
        name: String = required("accoil"), value::name;
        /// The product's key for sending. A key that begins with `stg_` belongs to Accoil's staging.
        api_key: SecretString = required_secret("${ACCOIL_API_KEY}"), value::token;
        /// `"v2"`: Accoil's documented API. `"segment"`: what Segment's own destination posts.
        api: Dialect = default("v2"), value::choice;
        /// The address of Accoil.
        base_url: String = otherwise(
            "https://in.accoil.com", "from the key: Accoil, or its staging", default_base_url(&api_key).to_owned()
        ), value::base_url;
        /// Presets by name, and paths of `.toml` or `.json` files; 50 mappings at most.
        mappings: Vec<LocatedText> = default(["segment", "amplitude"]), value::located;
        /// `true`: refuse exactly what Segment's destination refuses. `false`: correct what can be corrected.
        strict: bool = default(false), value::switch;
        /// The name in an event's `integrations` that enables or disables this destination.
        integration_name: String = default("Accoil Analytics"), value::text;
        /// The unit of `mrr` in events: `"cents"`, or `"dollars"`, which are multiplied by 100.
        mrr_unit: MrrUnit = default("cents"), value::choice;
        /// The most calls at once, each on its own connection. The relay makes fewer while Accoil is overloaded (429, 503,
        /// time-outs).
        concurrency: usize = default(64), value::integer(1..=10_000);
        /// The most calls per second.
        rate: Option<u32> = optional(1000, "as many as Accoil accepts"), value::integer(1..=1_000_000);
        /// Time limit for the DNS lookup, connecting and TLS.
        connect_timeout: Duration = default("10s"), value::duration;
        /// Time limit for one call and its answer, connecting included.
        request_timeout: Duration = default("30s"), value::duration;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MrrUnit {
    Cents,
    Dollars,
}

impl Word for MrrUnit {
    const WORDS: &'static [(&'static str, Self)] = &[("cents", Self::Cents), ("dollars", Self::Dollars)];
}

impl Word for Dialect {
    const WORDS: &'static [(&'static str, Self)] =
        &[(Self::V2.name(), Self::V2), (Self::Segment.name(), Self::Segment)];
}

fn default_base_url(api_key: &SecretString) -> &'static str {
    let prefix = api_key.expose_secret().get(..4).unwrap_or_default();
    if prefix.eq_ignore_ascii_case("stg_") { STAGING } else { PRODUCTION }
}
