//! Which accounts a list has and in what order; where a call goes.

use form_urlencoded::Serializer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::VitallyError;

/// The most accounts a page has.
pub const MOST_A_PAGE: u8 = 100;
/// No id is longer.
const MOST_ID_BYTES: usize = 1024;

/// Tracked accounts by whether they have churned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// Vitally's default.
    #[default]
    Active,
    Churned,
    ActiveOrChurned,
}

/// Always the latest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Moves while it is read.
    UpdatedAt,
    CreatedAt,
}

/// What is listed, and one page of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub status: Status,
    pub sort: Sort,
    /// Accounts a page, from 1 to 100; others are taken as the nearest of them.
    pub limit: u8,
    /// The `next` of the page before; everything but the limit must be as it was for that.
    pub from: Option<String>,
    /// Only its accounts, by Vitally's id for it; `status` is not documented for that and not sent.
    pub organization: Option<String>,
}

impl Listing {
    /// Every tracked account, in an order that stays while they are written to.
    pub fn sweep() -> Self {
        Self {
            status: Status::ActiveOrChurned,
            sort: Sort::CreatedAt,
            limit: MOST_A_PAGE,
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
        query.append_pair("limit", &self.limit.clamp(1, MOST_A_PAGE).to_string());
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
        // Even percent-encoded they would be resolved as steps of the path.
        "." | ".." => bad("is one or two dots, which a path cannot hold"),
        _ if id.len() > MOST_ID_BYTES => bad("is longer than 1,024 bytes"),
        _ => Ok(utf8_percent_encode(id, RESERVED).to_string()),
    }
}

/// RFC 3986: what is not unreserved is encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_segment_whatever_it_holds() {
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
