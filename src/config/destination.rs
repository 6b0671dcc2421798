//! `[[destinations]]`: which Accoil product the events go to, through which mappings, and how fast.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::section::Section;
use super::value;
use crate::event::Dialect;
use crate::fault::Located;

/// `facts/accoil.md` 1.1 and 1.7: a key that begins with `stg_`, in any case, belongs to staging.
const PRODUCTION: &str = "https://in.accoil.com";
const STAGING: &str = "https://instaging.accoil.com";

/// One Accoil product.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Unique among the destinations.
    pub name: String,
    /// As it was given, `stg_` included.
    pub api_key: SecretString,
    pub api: Dialect,
    /// `http://` or `https://`, without a slash at the end.
    pub base_url: String,
    /// Presets by name, and paths relative to [`super::Config::directory`]; at least one.
    pub mappings: Vec<Located>,
    /// Refuse exactly what Segment's destination refuses (DESIGN 5.6).
    pub strict: bool,
    /// The name that an event's `integrations` switches this destination by (DESIGN 5.8).
    pub integration_name: String,
    /// The unit in which senders give `mrr`; Accoil wants cents (DESIGN 5.11).
    pub mrr_unit: MrrUnit,
    /// Connections, and so calls at once, at most.
    pub concurrency: usize,
    /// Calls a second at most.
    pub rate: Option<u32>,
    /// For finding the name, connecting and TLS.
    pub connect_timeout: Duration,
    /// From the beginning of a call to the last byte of its answer, connecting included.
    pub request_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MrrUnit {
    Cents,
    Dollars,
}

pub(super) const APIS: [(&str, Dialect); 2] =
    [(Dialect::V2.name(), Dialect::V2), (Dialect::Segment.name(), Dialect::Segment)];

pub(super) const MRR_UNITS: [(&str, MrrUnit); 2] = [("cents", MrrUnit::Cents), ("dollars", MrrUnit::Dollars)];

impl Destination {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let api_key = section.need_secret("api_key", "api_key_file", value::token);
        let base_url = section.get("base_url", value::base_url);
        Self {
            name: section.need("name", value::name),
            base_url: base_url.unwrap_or_else(|| default_base_url(&api_key).to_owned()),
            api_key,
            api: section.get("api", value::choice(&APIS)).unwrap_or_default(),
            mappings: section.located("mappings").unwrap_or_else(presets),
            strict: section.get("strict", value::switch).unwrap_or_default(),
            integration_name: section
                .get("integration_name", value::text)
                .unwrap_or_else(|| "Accoil Analytics".to_owned()),
            mrr_unit: section.get("mrr_unit", value::choice(&MRR_UNITS)).unwrap_or(MrrUnit::Cents),
            concurrency: section.get("concurrency", value::whole(1..=10_000)).unwrap_or(64),
            rate: section.get("rate", value::whole(1..=1_000_000)).and_then(|rate| u32::try_from(rate).ok()),
            connect_timeout: section
                .get("connect_timeout", value::duration)
                .unwrap_or(Duration::from_secs(10)),
            request_timeout: section
                .get("request_timeout", value::duration)
                .unwrap_or(Duration::from_secs(30)),
        }
    }
}

fn presets() -> Vec<Located> {
    ["segment", "amplitude"].map(Located::unplaced).to_vec()
}

fn default_base_url(api_key: &SecretString) -> &'static str {
    let prefix = api_key.expose_secret().get(..4).unwrap_or_default();
    if prefix.eq_ignore_ascii_case("stg_") { STAGING } else { PRODUCTION }
}
