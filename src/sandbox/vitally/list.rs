//! Lists of accounts, one page at a time (`docs/vitally.md#lists`).
//!
//! A page continues after the last account of the previous page, in descending order of the time that the list is
//! sorted by. An account that is written while a client reads the pages moves to the front of a list sorted by
//! `updatedAt`, so the later pages do not contain it.

use std::fmt::Display;

use ::http::StatusCode;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use super::{refuse, shown};
use crate::sandbox::store::{Account, InOrder, Store, text};
use crate::sandbox::{Sandbox, http};

const MAX_PAGE: usize = 100;

pub(super) async fn all(State(sandbox): State<Sandbox>, RawQuery(query): RawQuery) -> Response {
    answer(&sandbox, query.as_deref(), |query, account| query.status.covers(account))
}

pub(super) async fn of_organization(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    answer(&sandbox, query.as_deref(), |_, account| text(account, "organizationId") == Some(&id))
}

fn answer(sandbox: &Sandbox, query: Option<&str>, is_wanted: impl Fn(&Query, &Account) -> bool) -> Response {
    match Query::parse(query.unwrap_or_default()) {
        Err(reason) => refuse(StatusCode::BAD_REQUEST, &reason),
        Ok(query) => {
            let inner = sandbox.vitally().inner();
            http::json(StatusCode::OK, &query.page(&inner.store, |account| is_wanted(&query, account)))
        }
    }
}

/// The accounts that a list contains, by status.
#[derive(Debug, Clone, Copy, Default)]
enum Status {
    #[default]
    Active,
    Churned,
    ActiveOrChurned,
}

impl Status {
    fn covers(self, account: &Account) -> bool {
        let is_churned = account.get("churnedAt").is_some_and(|at| !at.is_null());
        match self {
            Self::Active => !is_churned,
            Self::Churned => is_churned,
            Self::ActiveOrChurned => true,
        }
    }
}

#[derive(Debug)]
struct Query {
    status: Status,
    /// The time and id of the last account on the previous page.
    from: Option<(String, String)>,
    limit: usize,
    /// The attribute to sort by, a time.
    sort: &'static str,
}

impl Query {
    fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Self { status: Status::default(), from: None, limit: MAX_PAGE, sort: "updatedAt" };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*name, &*value) {
                ("status", "active") => parsed.status = Status::Active,
                ("status", "churned") => parsed.status = Status::Churned,
                ("status", "activeOrChurned") => parsed.status = Status::ActiveOrChurned,
                ("sortBy", "updatedAt") => parsed.sort = "updatedAt",
                ("sortBy", "createdAt") => parsed.sort = "createdAt",
                ("limit", text) => {
                    let limit = text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
                    parsed.limit = limit.ok_or("limit must be between 1 and 100.")?;
                }
                ("from", cursor) => {
                    parsed.from = Some(read_cursor(cursor).ok_or("from is not a cursor of this API.")?);
                }
                ("status" | "sortBy", _) => return Err(format!("{name} has a value that is not accepted.")),
                _ => {}
            }
        }
        Ok(parsed)
    }

    fn page<'s>(&self, store: &'s Store, is_wanted: impl Fn(&Account) -> bool) -> Page<'s> {
        let from = self.from.as_ref().map(|(time, id)| (time.as_str(), id.as_str()));
        let mut rest: Vec<&Account> = store
            .iter()
            .filter(|account| is_wanted(account) && from.is_none_or(|from| self.key(account) < from))
            .collect();
        let descending = |left: &&Account, right: &&Account| self.key(right).cmp(&self.key(left));
        let has_next = rest.len() > self.limit;
        if has_next {
            // Selects the page first, because sorting all accounts for every page would be slow.
            rest.select_nth_unstable_by(self.limit, descending);
            rest.truncate(self.limit);
        }
        rest.sort_unstable_by(descending);
        let next = rest.last().filter(|_| has_next).map(|last| cursor(self.key(last)));
        Page { results: rest.into_iter().map(shown).collect(), next }
    }

    /// Returns the account's sort key.
    fn key<'a>(&self, account: &'a Account) -> (&'a str, &'a str) {
        (text(account, self.sort).unwrap_or_default(), text(account, "id").unwrap_or_default())
    }
}

#[derive(Serialize)]
struct Page<'a> {
    results: Vec<InOrder<'a>>,
    next: Option<String>,
}

fn cursor((time, id): (impl Display, impl Display)) -> String {
    BASE64_STANDARD.encode(format!("{time}\n{id}"))
}

fn read_cursor(cursor: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64_STANDARD.decode(cursor).ok()?).ok()?;
    let (time, id) = text.split_once('\n')?;
    Some((time.to_owned(), id.to_owned()))
}
