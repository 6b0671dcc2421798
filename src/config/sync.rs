//! `[vitally_to_accoil]` and `[accoil_to_vitally]`: what each sync copies, and when `serve` runs it.

use std::time::Duration;

use super::destination::{MRR_UNITS, MrrUnit};
use super::section::Section;
use super::value;

/// `[vitally_to_accoil]`
#[derive(Debug, Clone)]
pub struct VitallyToAccoil {
    /// The time from the end of one run to the next. `None`: runs only by command.
    pub every: Option<Duration>,
    /// Names of destinations; empty means all.
    pub destinations: Vec<String>,
    /// The unit of Vitally's `mrr`. `None`: each destination's `mrr_unit`.
    pub mrr_unit: Option<MrrUnit>,
    /// The Vitally trait that holds the account's plan.
    pub plan_trait: String,
    /// The Vitally trait that holds the status of an account that has not churned.
    pub status_trait: String,
    /// The status of a churned account.
    pub churned_status: String,
    /// Further Vitally traits to copy, by their flat keys.
    pub traits: Vec<String>,
}

/// `[accoil_to_vitally]`
#[derive(Debug, Clone)]
pub struct AccoilToVitally {
    /// The time from the end of one run to the next. `None`: runs only by command.
    pub every: Option<Duration>,
    /// The trait by which Accoil looks up an account.
    pub match_type: String,
    /// Where a Vitally account holds the value to look up: `externalId`, `name`, or `traits.KEY`.
    pub match_value: String,
    /// The prefix of every trait that is written.
    pub prefix: String,
    /// Whether to write the text of the insights too.
    pub insights: bool,
}

impl VitallyToAccoil {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            every: section.get("every", value::duration),
            destinations: section.get("destinations", value::list).unwrap_or_default(),
            mrr_unit: section.get("mrr_unit", value::choice(&MRR_UNITS)),
            plan_trait: section.require("plan_trait", value::text),
            status_trait: section.require("status_trait", value::text),
            churned_status: section.require("churned_status", value::text),
            traits: section.get("traits", value::list).unwrap_or_default(),
        }
    }
}

impl AccoilToVitally {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            every: section.get("every", value::duration),
            match_type: section.require("match_type", value::text),
            match_value: section.require("match_value", value::member),
            prefix: section.require("prefix", value::text),
            insights: section.require("insights", value::switch),
        }
    }
}
