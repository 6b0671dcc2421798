//! The APIs that accounts are read from: Accoil's read API in `[accounts]`, Vitally in `[vitally]`.

use secrecy::SecretString;

use super::section::Section;
use super::value;

/// The host of EU workspaces, which has no subdomains (`docs/vitally.md#hosts`).
const VITALLY_EU: &str = "https://rest.vitally-eu.io";

/// `[accounts]`: Accoil's read API. Its token differs from the key that events are sent with.
#[derive(Debug, Clone)]
pub struct Accounts {
    pub token: SecretString,
    pub workspace_id: String,
    /// Without a slash at the end.
    pub base_url: String,
}

/// `[vitally]`
#[derive(Debug, Clone)]
pub struct Vitally {
    pub secret: SecretString,
    /// The address before `/resources`: from `base_url`, or else `subdomain`, or else `region`.
    pub base_url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Region {
    Us,
    Eu,
}

impl Accounts {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            token: section.require_secret("token", "token_file", value::accoil_token),
            workspace_id: section.require("workspace_id", value::text),
            base_url: section
                .get("base_url", value::base_url)
                .unwrap_or_else(|| "https://api.accoil.com".to_owned()),
        }
    }
}

impl Vitally {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            secret: section.require_secret("secret", "secret_file", value::vitally_secret),
            base_url: vitally_url(section),
        }
    }
}

fn vitally_url(section: &mut Section<'_, '_>) -> String {
    let given = section.has("base_url") || section.has("subdomain");
    let has_region = section.has("region");
    let region = section.get("region", value::choice(&[("us", Region::Us), ("eu", Region::Eu)]));
    if region == Some(Region::Eu) {
        section.refuse(
            &["subdomain"],
            "is given beside region = \"eu\", whose host has none",
            "leave one of the two out",
        );
    } else if !given && (!has_region || region == Some(Region::Us)) {
        let advice =
            "add subdomain = \"NAME\", the first part of the address you log in at, or region = \"eu\"";
        section.missing("subdomain", advice.to_owned());
    }
    // A copied address may end in /resources.
    let base_url = section.get("base_url", value::base_url);
    let base_url = base_url.map(|url| url.strip_suffix("/resources").map_or(url.clone(), str::to_owned));
    let subdomain = section.get("subdomain", value::label);
    base_url
        .or_else(|| subdomain.map(|subdomain| format!("https://{subdomain}.rest.vitally.io")))
        .unwrap_or_else(|| VITALLY_EU.to_owned())
}
