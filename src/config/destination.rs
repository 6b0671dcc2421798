//! `[[destinations]]`: the Accoil products that events go to, with their mappings and limits.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::section::Section;
use super::value;
use crate::event::Dialect;
use crate::fault::Located;

/// A key that begins with `stg_`, in any case, belongs to staging (`docs/accoil-api.md#keys-and-hosts`).
const PRODUCTION: &str = "https://in.accoil.com";
const STAGING: &str = "https://instaging.accoil.com";

/// One Accoil product.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Unique among the destinations.
    pub name: String,
    /// The whole key, including `stg_`.
    pub api_key: SecretString,
    pub api: Dialect,
    /// `http://` or `https://`, without a slash at the end.
    pub base_url: String,
    /// Presets by name, and paths relative to [`super::Config::directory`]; at least one.
    pub mappings: Vec<Located>,
    /// Refuse exactly what Segment's destination refuses (`docs/mappings-reference.md#what-is-checked`).
    pub strict: bool,
    /// The name under which an event's `integrations` enables or disables this destination
    /// (`docs/segment.md#the-integrations-object`).
    pub integration_name: String,
    /// The unit of `mrr` in events. Accoil expects cents (`docs/accoil-api.md#money`).
    pub mrr_unit: MrrUnit,
    /// The most calls at once, each on its own connection.
    pub concurrency: usize,
    /// The most calls per second.
    pub rate: Option<u32>,
    /// Time limit for the DNS lookup, connecting and TLS.
    pub connect_timeout: Duration,
    /// Time limit from the start of a call to the last byte of its answer, including connecting.
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
        let api_key = section.require_secret("api_key", "api_key_file", value::token);
        let base_url = section.get("base_url", value::base_url);
        Self {
            name: section.require("name", value::name),
            base_url: base_url.unwrap_or_else(|| default_base_url(&api_key).to_owned()),
            api_key,
            api: section.get("api", value::choice(&APIS)).unwrap_or_default(),
            mappings: section.located("mappings").unwrap_or_else(presets),
            strict: section.get("strict", value::switch).unwrap_or_default(),
            integration_name: section
                .get("integration_name", value::text)
                .unwrap_or_else(|| "Accoil Analytics".to_owned()),
            mrr_unit: section.get("mrr_unit", value::choice(&MRR_UNITS)).unwrap_or(MrrUnit::Cents),
            concurrency: section.get("concurrency", value::integer(1..=10_000)).unwrap_or(64),
            rate: section
                .get("rate", value::integer(1..=1_000_000))
                .and_then(|rate| u32::try_from(rate).ok()),
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
