//! Reads a list page by page, and stops lists that would never end.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::account::Account;
use super::client::Client;
use super::error::VitallyError;
use super::listing::Listing;
use crate::accounts::http::HttpError;
use crate::json;
use crate::plain::is_terminal_control;

/// Enough for a million accounts.
const MAX_PAGES: u32 = 10_000;
/// A longer cursor is refused.
const MAX_CURSOR_BYTES: usize = 4096;

/// An account, typed and as Vitally sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedAccount {
    pub account: Account,
    /// The JSON object that Vitally sent, on one line; order and unknown fields are kept.
    pub body: String,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub accounts: Vec<ListedAccount>,
    /// The number of items that are not account objects.
    pub unreadable: usize,
    /// The cursor of the next page; `None` on the last.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct RawPage<'a> {
    #[serde(borrow)]
    results: Option<&'a RawValue>,
    next: Option<Value>,
}

impl ListedAccount {
    /// `None` if this is not an account object.
    pub(super) fn read(text: &str) -> Option<Self> {
        let sent = json::Value::parse(text).ok()?;
        sent.as_object()?;
        // Serialized again, because the typed reader refuses duplicate keys.
        let body = sent.to_string();
        let account = serde_json::from_str(&body).ok()?;
        Some(Self { account, body })
    }
}

impl Page {
    /// Reads JSON text. Items are read one by one, so that an odd item does not fail the others.
    pub(super) fn read(text: &str) -> Result<Self, VitallyError> {
        let sent: RawPage<'_> =
            serde_json::from_str(text).map_err(|_| VitallyError::Shape("it is not a page, an object"))?;
        let results = sent.results.ok_or(VitallyError::Shape("the page has no results"))?;
        let items: Vec<&RawValue> = serde_json::from_str(results.get())
            .map_err(|_| VitallyError::Shape("the results of the page are not a list"))?;
        let accounts: Vec<ListedAccount> =
            items.iter().filter_map(|item| ListedAccount::read(item.get())).collect();
        Ok(Self { unreadable: items.len() - accounts.len(), accounts, next: cursor(sent.next)? })
    }

    const fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.unreadable == 0
    }
}

fn cursor(next: Option<Value>) -> Result<Option<String>, VitallyError> {
    match next {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(next)) if next.len() > MAX_CURSOR_BYTES => {
            Err(VitallyError::Shape("the page's next is longer than any cursor"))
        }
        // The cursor is printed, so that the user can pass it back on a command line.
        Some(Value::String(next)) if next.contains(is_terminal_control) => {
            Err(VitallyError::Shape("the page's next has control characters"))
        }
        Some(Value::String(next)) => Ok(Some(next).filter(|next| !next.is_empty())),
        Some(Value::Number(next)) => Ok(Some(next.to_string())),
        Some(_) => Err(VitallyError::Shape("the page's next is not text")),
    }
}

/// All pages of a list, one after another. After an error there are no further pages.
#[derive(Debug)]
pub struct Pages<'a> {
    client: &'a Client,
    listing: Listing,
    seen: HashSet<String>,
    read: u32,
    is_over: bool,
}

impl<'a> Pages<'a> {
    /// Starts at `listing.from`.
    pub fn new(client: &'a Client, listing: Listing) -> Self {
        let seen = listing.from.iter().cloned().collect();
        Self { client, listing, seen, read: 0, is_over: false }
    }

    /// The next page; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Page>, VitallyError> {
        if self.is_over {
            return Ok(None);
        }
        // Reset below if the page can be read and is not the last.
        self.is_over = true;
        if self.read == MAX_PAGES {
            return Err(VitallyError::TooManyPages(MAX_PAGES));
        }
        let page = self.read_page().await?;
        self.read += 1;
        if let Some(next) = &page.next {
            if page.is_empty() {
                return Err(VitallyError::EmptyPage);
            }
            if !self.seen.insert(next.clone()) {
                return Err(VitallyError::RepeatedCursor);
            }
            self.is_over = false;
        }
        self.listing.from.clone_from(&page.next);
        Ok(Some(page))
    }

    /// If a page exceeds the limit of an answer, halves the page size for the rest of the list.
    async fn read_page(&mut self) -> Result<Page, VitallyError> {
        loop {
            match self.client.list(&self.listing).await {
                Err(VitallyError::Http(HttpError::TooLarge)) if self.listing.limit > 1 => {
                    self.listing.limit /= 2;
                }
                outcome => return outcome,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_is_not_an_account_is_counted_and_the_others_are_read() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = format!(
            r#"{{"results": [ {{"id": "1", "n": 1, "id": "2",
                "a.b": [ 1 ,2 ]}}, 7, null, "x", [], {{"traits": {deep}}}, {{"id": 3, "usersCount": "12"}} ],
                "next": "c29tZWJhc2U2NA==", "total": 9}}"#
        );
        let page = Page::read(&text).unwrap();
        let bodies: Vec<_> = page.accounts.iter().map(|listed| listed.body.as_str()).collect();
        assert_eq!(bodies, [r#"{"id":"2","n":1,"a.b":[1,2]}"#, r#"{"id":3,"usersCount":"12"}"#]);
        let second = &page.accounts[1].account;
        assert_eq!((second.id.as_deref(), second.users_count.clone()), (Some("3"), Some(12.into())));
        assert_eq!((page.unreadable, page.next.as_deref()), (5, Some("c29tZWJhc2U2NA==")));
    }

    #[test]
    fn an_invalid_page_is_an_error() {
        for (text, expected) in [
            (r#"{"results":[],"next":null}"#, Ok(None)),
            (r#"{"results":[]}"#, Ok(None)),
            (r#"{"results":[],"next":""}"#, Ok(None)),
            (r#"{"results":[],"next":5}"#, Ok(Some("5"))),
            (r#"{"results":[],"next":[]}"#, Err("next is not text")),
            (r#"{"next":"a"}"#, Err("no results")),
            (r#"{"results":{},"next":null}"#, Err("not a list")),
            (r#"{"results":"[]"}"#, Err("not a list")),
            (r#"{"results":[],"next":"a\u001b[31m"}"#, Err("control characters")),
            (r#"{"results":[],"next":"a\u202eb"}"#, Err("control characters")),
            ("[]", Err("not a page")),
            ("null", Err("not a page")),
            (&format!(r#"{{"results":[],"next":"{}"}}"#, "x".repeat(4097)), Err("longer than")),
        ] {
            match (Page::read(text), expected) {
                (Ok(page), Ok(next)) => assert_eq!(page.next.as_deref(), next, "{text}"),
                (Err(error), Err(reason)) => assert!(error.to_string().contains(reason), "{text}: {error}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
    }
}
