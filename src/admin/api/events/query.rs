//! The query of a list of events: what it asks for, and where those events are looked up.

use serde::{Deserialize, Deserializer, de};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::admin::error::ApiError;
use crate::admin::moment::Moment;
use crate::history::{self, Cursor, Status};
use crate::outbox::{Filter, Position, WaitingFilter};
use accoil_mapping::nearest;

/// The number of events of a page, unless the request names one.
const DEFAULT_EVENTS: usize = 100;
const MAX_EVENTS: usize = 500;

/// The parameters of the list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// `accepted`, `delivered`, `held`, `waiting`, `dead`, `rejected`, `skipped`, `duplicate`; several with commas between.
    pub status: Option<String>,
    pub source: Option<String>,
    /// The destination of one of its calls.
    pub destination: Option<String>,
    /// `track`, `identify`, `group`, `page`, `screen` or `alias`.
    #[serde(rename = "type")]
    #[param(rename = "type")]
    pub kind: Option<String>,
    /// The event's name.
    pub name: Option<String>,
    pub user: Option<String>,
    pub group: Option<String>,
    pub message_id: Option<String>,
    /// The mapping made a call of it or refused it.
    pub mapping: Option<String>,
    /// A part of what was wrong: `userId is missing`.
    pub reason: Option<String>,
    /// The code of a reason: `reject.missing`.
    pub code: Option<String>,
    /// A part of the event, of a call's body, or of an answer.
    pub text: Option<String>,
    /// An event id, a user id, a message id or a group id.
    pub any: Option<String>,
    /// Received at this time or later: RFC 3339, a date, or relative, such as -24h.
    #[param(value_type = Option<String>)]
    pub from: Option<Moment>,
    /// Received before this time.
    #[param(value_type = Option<String>)]
    pub to: Option<Moment>,
    /// The cursor: `next` of the page before.
    pub before: Option<String>,
    /// The most events, 500 at most.
    #[serde(default, deserialize_with = "number")]
    pub most: Option<usize>,
}

/// The parameters of the live stream: the same filter without times and pages.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct EventFilter(pub EventsQuery);

impl IntoParams for EventFilter {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = EventsQuery::into_params(|| None);
        all.retain(|one| !["from", "to", "before", "most"].contains(&one.name.as_str()));
        all
    }
}

/// Where the events of a query are looked up, with the filter of that place.
pub(super) enum EventStore {
    History { filter: history::Filter, before: Option<Cursor> },
    Waiting { filter: WaitingFilter, after: Option<Position> },
    Kept { filter: Filter, kinds: Kinds, before: i64 },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Kinds {
    pub(super) rejects: bool,
    pub(super) dead_letters: bool,
}

impl EventsQuery {
    pub(super) fn most(&self) -> usize {
        self.most.unwrap_or(DEFAULT_EVENTS).clamp(1, MAX_EVENTS)
    }

    /// Returns the query as a filter of the history.
    pub fn filter(&self) -> Result<history::Filter, ApiError> {
        Ok(history::Filter {
            statuses: self.statuses()?,
            source: self.source.clone(),
            destination: self.destination.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            user: self.user.clone(),
            message_id: self.message_id.clone(),
            group: self.group.clone(),
            mapping: self.mapping.clone(),
            reason: self.reason.clone(),
            code: self.code.clone(),
            text: self.text.clone(),
            from: self.from.map(|moment| moment.0),
            to: self.to.map(|moment| moment.0),
            any: self.any.clone(),
        })
    }

    fn statuses(&self) -> Result<Vec<Status>, ApiError> {
        let words = self.status.as_deref().unwrap_or_default().split(',').map(str::trim);
        words.filter(|word| !word.is_empty()).map(status).collect()
    }

    /// Decides where the events are looked up. Waiting calls and failures are in the outbox: the history does not know whether they
    /// were replayed or purged since.
    pub(super) fn place(&self, has_history: bool) -> Result<EventStore, ApiError> {
        let statuses = self.statuses()?;
        let only =
            |wanted: &[Status]| !statuses.is_empty() && statuses.iter().all(|status| wanted.contains(status));
        let is_simple =
            [&self.kind, &self.group, &self.text, &self.any].iter().all(|filter| filter.is_none());
        if is_simple && only(&[Status::Waiting]) && self.is_of_waiting() {
            return self.waiting();
        }
        if is_simple && only(&[Status::Rejected, Status::Dead]) && self.is_of_kept() {
            return self.kept(&statuses);
        }
        if !has_history {
            return self.without_history(&statuses);
        }
        let before = self.before.as_deref().map(cursor).transpose()?;
        Ok(EventStore::History { filter: self.filter()?, before })
    }

    /// Returns whether the filter of waiting calls has every condition that the query sets.
    fn is_of_waiting(&self) -> bool {
        let others = [&self.source, &self.message_id, &self.mapping, &self.reason, &self.code];
        others.iter().all(|filter| filter.is_none()) && self.from.is_none() && self.to.is_none()
    }

    /// Returns whether the filter of dead letters and rejects has every condition that the query sets.
    fn is_of_kept(&self) -> bool {
        [&self.source, &self.mapping, &self.code].iter().all(|filter| filter.is_none())
    }

    fn waiting(&self) -> Result<EventStore, ApiError> {
        let filter = WaitingFilter {
            ids: Vec::new(),
            destination: self.destination.clone(),
            user: self.user.clone(),
            event: self.name.clone(),
        };
        let after = self.before.as_deref().map(cursor).transpose()?;
        Ok(EventStore::Waiting { filter, after })
    }

    fn kept(&self, statuses: &[Status]) -> Result<EventStore, ApiError> {
        let filter = Filter {
            destination: self.destination.clone(),
            user: self.user.clone(),
            event: self.name.clone(),
            message_id: self.message_id.clone(),
            reason: self.reason.clone(),
            since: self.from.map(|moment| moment.0),
            until: self.to.map(|moment| moment.0),
            ..Filter::default()
        };
        let kinds = Kinds {
            rejects: statuses.is_empty() || statuses.contains(&Status::Rejected),
            dead_letters: statuses.is_empty() || statuses.contains(&Status::Dead),
        };
        let before = self.before.as_deref().map(cursor).transpose()?.unwrap_or(i64::MAX);
        Ok(EventStore::Kept { filter, kinds, before })
    }

    /// Looks only in the dead letters and rejects, because without a history the relay keeps no other ended events.
    fn without_history(&self, statuses: &[Status]) -> Result<EventStore, ApiError> {
        let failures = [Status::Rejected, Status::Dead];
        let is_known = statuses.is_empty() || statuses.iter().any(|status| failures.contains(status));
        let is_simple =
            self.is_of_kept() && [&self.kind, &self.group, &self.text].iter().all(|one| one.is_none());
        if !is_known || !is_simple {
            return Err(super::history_failed(&history::ReadError::Off));
        }
        match &self.any {
            None => self.kept(statuses),
            // An event id is recognised by its form; anything else is taken for a user id.
            Some(any) if any.parse::<crate::event_id::EventId>().is_ok() => {
                Self { name: Some(any.clone()), any: None, ..self.clone() }.kept(statuses)
            }
            Some(any) => Self { user: Some(any.clone()), any: None, ..self.clone() }.kept(statuses),
        }
    }
}

/// Reads a number where another query contains this one: there serde has only the text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
}

fn status(word: &str) -> Result<Status, ApiError> {
    Status::named(word).ok_or_else(|| {
        let nearest = nearest(word, Status::ALL.iter().map(|status| status.name()));
        let names: Vec<_> = Status::ALL.iter().map(|status| status.name()).collect();
        let advice = nearest.map_or_else(|| ".".to_owned(), |nearest| format!(", did you mean {nearest}?"));
        let word: String = word.chars().take(64).collect();
        ApiError::invalid(format!(
            "there is no status {word:?}{advice} The statuses are {}",
            names.join(", ")
        ))
    })
}

pub(in crate::admin::api) fn cursor<T: std::str::FromStr>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| {
        ApiError::invalid("`before` is not a cursor of this list: pass the value of `next` in the previous page, with the same filter")
    })
}
