//! `[vitally_to_accoil]` and `[accoil_to_vitally]`: what each sync carries over, and when `serve` runs it.

use std::time::Duration;

use super::destination::{MRR_UNITS, MrrUnit};
use super::section::Section;
use super::value;

/// `[vitally_to_accoil]`
#[derive(Debug, Clone)]
pub struct VitallyToAccoil {
    /// From the end of one run to the next; none: only by command.
    pub every: Option<Duration>,
    /// Names; all when empty.
    pub destinations: Vec<String>,
    /// In which unit Vitally has `mrr`; none: as each destination's `mrr_unit` says.
    pub mrr_unit: Option<MrrUnit>,
    /// The Vitally trait that is the account's plan.
    pub plan_trait: String,
    /// The Vitally trait that is the status of an account that has not churned.
    pub status_trait: String,
    /// The status of one that has.
    pub churned_status: String,
    /// Further Vitally traits that travel, by their flat keys.
    pub traits: Vec<String>,
}

/// `[accoil_to_vitally]`
#[derive(Debug, Clone)]
pub struct AccoilToVitally {
    /// From the end of one run to the next; none: only by command.
    pub every: Option<Duration>,
    /// By which of its traits Accoil finds an account.
    pub match_type: String,
    /// Where a Vitally account has the value of that: `externalId`, `name`, or `traits.KEY`.
    pub match_value: String,
    /// Stands before the name of every trait that is written.
    pub prefix: String,
    /// Whether the insights' text is written too.
    pub insights: bool,
}

impl VitallyToAccoil {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            every: section.get("every", value::duration),
            destinations: section.get("destinations", value::list).unwrap_or_default(),
            mrr_unit: section.get("mrr_unit", value::choice(&MRR_UNITS)),
            plan_trait: section.need("plan_trait", value::text),
            status_trait: section.need("status_trait", value::text),
            churned_status: section.need("churned_status", value::text),
            traits: section.get("traits", value::list).unwrap_or_default(),
        }
    }
}

impl AccoilToVitally {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            every: section.get("every", value::duration),
            match_type: section.need("match_type", value::text),
            match_value: section.need("match_value", value::member),
            prefix: section.need("prefix", value::text),
            insights: section.need("insights", value::switch),
        }
    }
}
