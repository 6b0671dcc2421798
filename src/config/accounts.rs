//! The systems beside the stream: Accoil's read API in `[accounts]`, Vitally in `[vitally]`.

use secrecy::SecretString;

use super::section::Section;
use super::value;

/// Where accounts in the EU live; it has no subdomains (`facts/vitally.md` 2).
const VITALLY_EU: &str = "https://rest.vitally-eu.io";

/// `[accounts]`: Accoil's read API. Its token is not the key that events are sent with.
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
    /// What `/resources` follows; from `base_url`, else `subdomain`, else `region`.
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
            token: section.need_secret("token", "token_file", value::accoil_token),
            workspace_id: section.need("workspace_id", value::text),
            base_url: section
                .get("base_url", value::base_url)
                .unwrap_or_else(|| "https://api.accoil.com".to_owned()),
        }
    }
}

impl Vitally {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            secret: section.need_secret("secret", "secret_file", value::vitally_secret),
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
    // Copied with what follows it, it means the same.
    let base_url = section.get("base_url", value::base_url);
    let base_url = base_url.map(|url| url.strip_suffix("/resources").map_or(url.clone(), str::to_owned));
    let subdomain = section.get("subdomain", value::label);
    base_url
        .or_else(|| subdomain.map(|subdomain| format!("https://{subdomain}.rest.vitally.io")))
        .unwrap_or_else(|| VITALLY_EU.to_owned())
}
