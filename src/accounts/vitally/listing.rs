//! The parameters of a list of accounts, and the paths of all calls.

use form_urlencoded::Serializer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::VitallyError;

/// The most accounts that a page can have.
pub const MAX_PAGE_SIZE: u8 = 100;
/// A longer id is refused.
const MAX_ID_BYTES: usize = 1024;

/// Selects tracked accounts by whether they have churned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// Vitally's default.
    #[default]
    Active,
    Churned,
    ActiveOrChurned,
}

/// The order of a list, always the latest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Accounts move within the list while it is read.
    UpdatedAt,
    CreatedAt,
}

/// The parameters of one page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub status: Status,
    pub sort: Sort,
    /// Accounts per page, clamped to 1 to 100.
    pub limit: u8,
    /// The `next` of the previous page. All other parameters but the limit must stay the same.
    pub from: Option<String>,
    /// Only the accounts of this organization, by Vitally's id. `status` is not documented for such a list and not sent.
    pub organization: Option<String>,
}

impl Listing {
    /// Every tracked account, in an order that writes do not change.
    pub fn sweep() -> Self {
        Self {
            status: Status::ActiveOrChurned,
            sort: Sort::CreatedAt,
            limit: MAX_PAGE_SIZE,
            from: None,
            organization: None,
        }
    }

    /// Path and query.
    pub(super) fn path(&self) -> Result<String, VitallyError> {
        let mut query = Serializer::new(String::new());
        let path = if let Some(organization) = &self.organization {
            format!("/resources/organizations/{}/accounts", segment(organization)?)
        } else {
            query.append_pair("status", self.status.word());
            "/resources/accounts".to_owned()
        };
        query.append_pair("sortBy", self.sort.word());
        query.append_pair("limit", &self.limit.clamp(1, MAX_PAGE_SIZE).to_string());
        if let Some(from) = &self.from {
            query.append_pair("from", from);
        }
        Ok(format!("{path}?{}", query.finish()))
    }
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Churned => "churned",
            Self::ActiveOrChurned => "activeOrChurned",
        }
    }
}

impl Sort {
    const fn word(self) -> &'static str {
        match self {
            Self::UpdatedAt => "updatedAt",
            Self::CreatedAt => "createdAt",
        }
    }
}

/// The path of one account, by Vitally's id or by the externalId.
pub(in crate::accounts) fn account(id: &str) -> Result<String, VitallyError> {
    Ok(format!("/resources/accounts/{}", segment(id)?))
}

/// An id as one segment of a path: nothing in it can lead elsewhere.
fn segment(id: &str) -> Result<String, VitallyError> {
    let bad = |why| Err(VitallyError::BadId(why));
    match id {
        "" => bad("is empty"),
        // Servers resolve them as steps of the path, even if they are percent-encoded.
        "." | ".." => bad("is one or two dots, which a path cannot hold"),
        _ if id.len() > MAX_ID_BYTES => bad("is longer than 1,024 bytes"),
        _ => Ok(utf8_percent_encode(id, RESERVED).to_string()),
    }
}

/// Everything but RFC 3986's unreserved characters is encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_always_one_path_segment() {
        for (id, expected) in [
            ("account-101", "account-101"),
            ("a/b", "a%2Fb"),
            ("../users", "..%2Fusers"),
            ("a%2Fb", "a%252Fb"),
            ("%2e%2e", "%252e%252e"),
            ("a?b#c d\r\n", "a%3Fb%23c%20d%0D%0A"),
            ("🏢\\", "%F0%9F%8F%A2%5C"),
            ("...", "..."),
        ] {
            assert_eq!(segment(id).unwrap(), expected);
        }
        for id in ["", ".", "..", &"x".repeat(1025)] {
            assert!(matches!(segment(id), Err(VitallyError::BadId(_))), "{id}");
        }
    }

    #[test]
    fn every_documented_parameter_is_sent() {
        let all = Listing { from: Some("c29tZWJhc2U2NA==&limit=1".to_owned()), ..Listing::sweep() };
        assert_eq!(
            all.path().unwrap(),
            "/resources/accounts?status=activeOrChurned&sortBy=createdAt&limit=100&from=c29tZWJhc2U2NA%3D%3D%26limit%3D1"
        );
        let organization = Listing {
            organization: Some("o/1".to_owned()),
            sort: Sort::UpdatedAt,
            limit: 0,
            ..Listing::sweep()
        };
        let path = organization.path().unwrap();
        assert_eq!(path, "/resources/organizations/o%2F1/accounts?sortBy=updatedAt&limit=1");
    }
}
