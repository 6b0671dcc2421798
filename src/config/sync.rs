//! What each sync copies, and when `serve` runs it.

use std::time::Duration;

use super::destination::MrrUnit;
use super::table::section;
use super::value;

section! {
    /// `sync vitally-to-accoil`: Vitally's accounts become Accoil group calls.
    Always [vitally_to_accoil] pub struct VitallyToAccoil {
        /// The time from the end of one run to the next, if `serve` runs it.
        every: Option<Duration> = optional("1h", "it runs only by command"), value::duration;
        /// The names of the destinations that accounts go to.
        destinations: Vec<String> = otherwise(["accoil"], "all", Vec::new()), value::list;
        /// The unit of `mrr` in Vitally: `"cents"` or `"dollars"`.
        mrr_unit: Option<MrrUnit> = optional("dollars", "`mrr_unit` of each destination"), value::choice;
        /// The Vitally trait that holds the account's plan.
        plan_trait: String = default("plan"), value::text;
        /// The Vitally trait that holds the status of an account that has not churned.
        status_trait: String = default("status"), value::text;
        /// The status of an account that has churned.
        churned_status: String = default("canceled"), value::text;
        /// Further Vitally traits to copy, by their keys.
        traits: Vec<String> = otherwise(["industry", "hspot.city"], "none", Vec::new()), value::list;
    }
}

section! {
    /// `sync accoil-to-vitally`: Accoil's scores become Vitally traits.
    Always [accoil_to_vitally] pub struct AccoilToVitally {
        /// The time from the end of one run to the next, if `serve` runs it.
        every: Option<Duration> = optional("1h", "it runs only by command"), value::duration;
        /// The trait by which Accoil finds an account.
        match_type: String = default("tracking_id"), value::text;
        /// Where the Vitally account holds the value of that trait: `"externalId"`, `"name"` or `"traits.KEY"`.
        match_value: String = default("externalId"), value::member;
        /// The beginning of the name of every trait that is written, as in `accoil_engagement_score`.
        prefix: String = default("accoil_"), value::text;
        /// Whether the text of Accoil's insights is written too.
        insights: bool = default(false), value::switch;
    }
}
