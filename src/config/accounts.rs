//! The APIs that accounts are read from: Accoil's read API and Vitally.

use secrecy::SecretString;

use super::section::Section;
use super::table::section;
use super::value::{self, Word};

/// The host of EU workspaces, which has no subdomains (`docs/vitally.md#hosts`).
const VITALLY_EU: &str = "https://rest.vitally-eu.io";

section! {
    /// Accoil's read API. Its token differs from the key for sending.
    Optional [accounts] pub struct Accounts {
        /// The API token (`accoil_…`).
        token: SecretString = required_secret("${ACCOIL_API_TOKEN}"), value::accoil_token;
        /// The workspace id, from the address of Accoil's app.
        workspace_id: String = required("123"), value::text;
        /// The address of the read API.
        base_url: String = default("https://api.accoil.com"), value::base_url;
    }
}

section! {
    /// Vitally's REST API. It needs one of `subdomain`, `region` and `base_url`.
    Optional [vitally] pub struct Vitally (check_address) {
        /// The Secret Token, or the whole Basic Auth Header.
        secret: SecretString = required_secret("${VITALLY_SECRET}"), value::vitally_secret;
        /// The first part of the address of the login page, for US workspaces.
        subdomain: Option<String> = optional("acme", "none"), value::label;
        /// `"eu"` instead of a subdomain, or `"us"`.
        region: Option<Region> = optional("us", "none"), value::choice;
        /// The address before `/resources`; it overrides the other two.
        base_url: String = otherwise(
            "https://acme.rest.vitally.io", "from `subdomain` or `region`", vitally_url(subdomain.as_deref())
        ), value::vitally_url;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    Us,
    Eu,
}

impl Word for Region {
    const WORDS: &'static [(&'static str, Self)] = &[("us", Self::Us), ("eu", Self::Eu)];
}

fn check_address(section: &mut Section<'_, '_>) {
    let region = section.peek("region", value::choice);
    if region == Some(Region::Eu) {
        let advice = "leave one of the two out";
        section.refuse("subdomain", "is given beside region = \"eu\", whose host has none", advice);
    } else if !section.has("base_url")
        && !section.has("subdomain")
        && (!section.has("region") || region == Some(Region::Us))
    {
        let advice =
            "add subdomain = \"NAME\", the first part of the address you log in at, or region = \"eu\"";
        section.missing("subdomain", advice.to_owned());
    }
}

fn vitally_url(subdomain: Option<&str>) -> String {
    subdomain.map_or_else(|| VITALLY_EU.to_owned(), |name| format!("https://{name}.rest.vitally.io"))
}
