//! The companies that both stand-ins know: twelve invented ones, and generated ones when more are asked for.
//!
//! They are the same at every start. The first is the account in Accoil's own example
//! (`docs/accoil-api.md#reading-accounts`).

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};

/// The default number of companies.
pub(super) const DEFAULT_COMPANIES: usize = 12;

/// One company, with the values that both systems share.
#[derive(Debug)]
pub(super) struct Company {
    /// The position in the list, from 1.
    place: u32,
    name: String,
    domain: String,
    /// Accoil's `tracking_id`, Vitally's `externalId`.
    tracking_id: String,
    industry: &'static str,
    city: &'static str,
    plan: &'static str,
    /// Monthly revenue in dollars.
    mrr: u32,
    stage: Stage,
}

/// What makes a company different from the others.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Customer,
    Trial,
    Churned,
    /// In Vitally it has no `externalId`.
    Unnamed,
    /// Accoil does not know it.
    Unused,
}

use Stage::{Churned, Customer, Trial, Unnamed, Unused};

type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, u32, Stage);

/// The columns are name, domain, industry, city, plan and MRR.
const KNOWN: [Row; DEFAULT_COMPANIES] = [
    ("TechCorp Solutions", "techcorp.com", "Software", "Austin", "enterprise", 4200, Customer),
    ("Northwind Freight", "northwind.example", "Logistics", "Rotterdam", "growth", 1450, Customer),
    ("Bluebird Analytics", "bluebird.example", "Software", "Toronto", "starter", 190, Customer),
    ("Harbor & Pine Law", "harborpine.example", "Legal", "Boston", "growth", 980, Customer),
    ("Verdant Foods", "verdant.example", "Food", "Lyon", "starter", 240, Churned),
    ("Kestrel Robotics", "kestrel.example", "Manufacturing", "Eindhoven", "enterprise", 6100, Customer),
    ("Müller Präzision GmbH", "mueller.example", "Manufacturing", "Stuttgart", "growth", 1320, Customer),
    ("Lumen Health", "lumen.example", "Health", "Denver", "enterprise", 5250, Customer),
    ("Atlas Travel", "atlas.example", "Travel", "Lisbon", "growth", 760, Churned),
    ("Papertrail HR", "papertrail.example", "Software", "Melbourne", "trial", 0, Trial),
    ("Quartz Studios", "quartz.example", "Media", "Oslo", "starter", 310, Unnamed),
    ("Summit Credit Union", "summit.example", "Finance", "Calgary", "growth", 1150, Unused),
];

/// Returns the first `number` companies. Both systems know the generated ones, each with its own id.
pub(super) fn companies(number: usize) -> impl Iterator<Item = Company> {
    (1..).take(number).map(|place: u32| match KNOWN.get(place as usize - 1) {
        Some((name, domain, industry, city, plan, mrr, stage)) => Company {
            place,
            name: (*name).to_owned(),
            domain: (*domain).to_owned(),
            tracking_id: format!("ext-{}", 12344 + place),
            industry,
            city,
            plan,
            mrr: *mrr,
            stage: *stage,
        },
        None => generated(place),
    })
}

fn generated(place: u32) -> Company {
    let number = format!("{place:04}");
    Company {
        place,
        name: format!("Company {number}"),
        domain: format!("company-{number}.example"),
        tracking_id: format!("company-{number}"),
        industry: choose(&["Software", "Logistics", "Health", "Finance"], place),
        city: choose(&["Austin", "Lyon", "Oslo", "Calgary", "Lisbon"], place),
        plan: choose(&["starter", "growth", "enterprise"], place),
        mrr: 100 + place * 37 % 5000,
        stage: if place.is_multiple_of(10) { Churned } else { Customer },
    }
}

fn choose(of: &[&'static str], place: u32) -> &'static str {
    of.get(place as usize % of.len()).copied().unwrap_or_default()
}

impl Company {
    /// Returns the account in Accoil with all its expansions, or `None` if Accoil does not know it. Accoil does not
    /// document what is inside the expansions: their content is invented.
    pub(super) fn in_accoil(&self) -> Option<Value> {
        (self.stage != Unused).then(|| {
            json!({
                "id": (455 + self.place).to_string(),
                "name": self.name,
                "domain": self.domain,
                "tracking_id": self.tracking_id,
                "metrics": self.metrics(),
                "traits": {
                    "industry": self.industry,
                    "employees": self.people() * 11,
                    "intercom_id": format!("intercom-{}", 7000 + self.place),
                    "salesforce_id": format!("0015g00000AcC{:02}", self.place),
                },
                "segments": self.segments(),
                "insights": self.insights(),
            })
        })
    }

    /// Returns the documented numbers for the documented account, and plausible ones for the others.
    fn metrics(&self) -> Value {
        if self.place == 1 {
            return json!({
                "engagement_score": 75.5, "raw_score": 2150, "owner_name": "Sarah Johnson",
                "first_seen": "2023-01-15", "last_seen": "2025-09-21", "active_users": 12,
                "activation_rate": 0.85, "overall_scored_events": 4520, "recently_scored_events": 380,
                "scoring_profile_events": 95, "total_people_count": 18, "total_active_people_count": 12,
            });
        }
        let score = self.tenths_of_score();
        let active = self.people() * score / 1000;
        json!({
            "engagement_score": f64::from(score) / 10.0, "raw_score": score * 3,
            "owner_name": choose(&["Sarah Johnson", "Priya Patel", "Tom Becker"], self.place),
            "first_seen": day(self.created_at()), "last_seen": day(self.last_seen()), "active_users": active,
            "activation_rate": f64::from(score / 10) / 100.0, "overall_scored_events": score * 7,
            "recently_scored_events": score / 2, "scoring_profile_events": score / 8,
            "total_people_count": self.people(), "total_active_people_count": active,
        })
    }

    /// Returns a number from 0 to 999; 755 for the first company.
    fn tenths_of_score(&self) -> u32 {
        match self.stage {
            Churned => 20 + self.place % 50,
            _ => (588 + self.place * 167) % 1000,
        }
    }

    fn people(&self) -> u32 {
        if self.place == 1 { 18 } else { 4 + self.place * 5 % 41 }
    }

    fn segments(&self) -> Value {
        match self.tenths_of_score() {
            700.. => json!([{"id": "21", "name": "Power accounts"}, {"id": "24", "name": self.industry}]),
            300.. => json!([{"id": "22", "name": "Steady"}, {"id": "24", "name": self.industry}]),
            _ => json!([{"id": "23", "name": "At risk"}]),
        }
    }

    fn insights(&self) -> String {
        let Self { name, city, .. } = self;
        match self.tenths_of_score() {
            700.. => format!(
                "{name} is highly engaged: most of its people were active in the last weeks. Usage grows in the \
                 {city} team. Recommendation: ask for a reference, and propose the next plan at renewal."
            ),
            300.. => format!(
                "{name} uses the product steadily, but only part of its people do. Recommendation: invite the \
                 others to a workshop, and show the {city} team what they have not tried yet."
            ),
            _ => format!(
                "{name} is hardly active any more. Recommendation: call the owner this week, and find out what \
                 the {city} team uses instead."
            ),
        }
    }

    /// Returns the account in Vitally, with every documented attribute (`docs/vitally.md#accounts`).
    pub(super) fn in_vitally(&self) -> Value {
        let place = i64::from(self.place);
        let has_ended = self.stage == Churned;
        let trial_end = (self.stage == Trial).then(|| time(self.last_seen() + Duration::days(30)));
        json!({
            "id": format!("7c1f0a52-93d4-4e0b-8a57-{:012}", self.place),
            "createdAt": time(self.created_at()),
            "updatedAt": time(self.last_seen() + Duration::hours(6)),
            "externalId": (self.stage != Unnamed).then_some(&self.tracking_id),
            "name": self.name,
            "traits": {
                "plan": self.plan, "industry": self.industry, "hspot.city": self.city, "mrr": self.mrr,
            },
            "organizationId": organization(self.place),
            "accountOwnerId": null,
            "mrr": if self.stage == Trial { Value::Null } else { json!(self.mrr) },
            "nextRenewalDate": (self.stage == Customer).then(|| time(self.last_seen() + Duration::days(60 + place % 90))),
            "churnedAt": has_ended.then(|| time(self.last_seen() + Duration::days(20))),
            "firstSeenTimestamp": time(self.created_at() + Duration::hours(1)),
            "lastSeenTimestamp": time(self.last_seen()),
            "lastInboundMessageTimestamp": null,
            "lastOutboundMessageTimestamp": time(self.last_seen() - Duration::days(3)),
            "trialEndDate": trial_end,
            "usersCount": self.people(),
            "npsDetractorCount": self.place % 3,
            "npsPassiveCount": self.place % 2,
            "npsPromoterCount": self.place % 5,
            "npsScore": if has_ended { Value::Null } else { json!(self.place * 13 % 100) },
            "healthScore": f64::from(self.tenths_of_score()) / 100.0,
            "csmId": null,
            "accountExecutiveId": null,
            "keyRoles": [],
            "segments": [{"id": "5d0b6f3e-0000-4000-8000-000000000001", "name": "All accounts"}],
        })
    }

    /// Returns a time within two years. No two companies share one, so that sorting by it is unambiguous.
    fn created_at(&self) -> DateTime<Utc> {
        // 2023-01-15T09:00:00Z, the `first_seen` of the first company.
        DateTime::from_timestamp_nanos(1_673_773_200_000_000_000)
            + Duration::minutes(i64::from(self.place - 1) * 86_399 % 1_000_000)
    }

    /// Returns a time within seventy days.
    fn last_seen(&self) -> DateTime<Utc> {
        // 2025-09-21T15:00:00Z, the `last_seen` of the first company.
        DateTime::from_timestamp_nanos(1_758_466_800_000_000_000)
            - Duration::minutes(i64::from(self.place - 1) * 1_237 % 100_000)
    }
}

/// The two organizations: Vitally's id and the external id of each.
pub(super) const ORGANIZATIONS: [(&str, &str); 2] = [
    ("2b9e6c14-5a0d-4f7c-b1de-000000000001", "org-manufacturing"),
    ("2b9e6c14-5a0d-4f7c-b1de-000000000002", "org-software"),
];

/// One of every five accounts is in the first organization, and one in the second.
fn organization(place: u32) -> Option<&'static str> {
    ORGANIZATIONS.get(place.checked_sub(1)? as usize % 5).map(|(id, _)| *id)
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%F").to_string()
}
