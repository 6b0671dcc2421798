//! Formats the API key for the Authorization header of each dialect (`docs/accoil-api.md#keys-and-hosts`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::event::Dialect;

/// Returns the header's value: the plain key after `Basic ` for v2, base64 of `key:` for `/segment`.
///
/// A `stg_` prefix (in any case) only selects the staging host and is not part of the key that is sent. Segment's and
/// `PostHog`'s destinations do the same.
pub fn authorization(dialect: Dialect, api_key: &str) -> String {
    let key = without_staging_prefix(api_key);
    match dialect {
        Dialect::V2 => format!("Basic {key}"),
        Dialect::Segment => format!("Basic {}", STANDARD.encode(format!("{key}:"))),
    }
}

fn without_staging_prefix(key: &str) -> &str {
    match key.split_at_checked(4) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("stg_") => rest,
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_its_own_form_and_staging_prefixes_are_stripped() {
        assert_eq!(authorization(Dialect::Segment, "api_key"), "Basic YXBpX2tleTo=");
        assert_eq!(authorization(Dialect::V2, "api_key"), "Basic api_key");
        assert_eq!(authorization(Dialect::V2, "StG_aBc"), "Basic aBc");
        assert_eq!(authorization(Dialect::V2, "ab_stg_x"), "Basic ab_stg_x");
    }
}
