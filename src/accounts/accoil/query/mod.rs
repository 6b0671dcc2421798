//! Which account, and how much of it: the parameters of `GET /v1/accounts`, checked before a call is made.
//!
//! Values are passed on exactly as they were given, percent-encoded; blank ones count as not given.

use std::str::FromStr;

use form_urlencoded::Serializer;

use accoil_mapping::nearest;

/// A longer value is refused: no id, domain or name is that long, and servers limit the length of a path.
const MAX_VALUE_BYTES: usize = 2048;

/// Names one account and the data blocks to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Query {
    /// Accoil requires one.
    pub lookup: Option<Lookup>,
    pub expand: ExpandBlocks,
    /// `None`: the client's own workspace.
    pub workspace_id: Option<String>,
}

/// How an account is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// Accoil's own id, the last number in the account's address in the app. The fastest lookup.
    Id(String),
    /// `domain`, `name`, `intercom_id`, `salesforce_id`, `tracking_id` or any custom trait, and its exact value.
    Match { kind: String, value: String },
}

/// The data blocks that Accoil sends only on request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ExpandBlocks {
    pub insights: bool,
    pub traits: bool,
    pub segments: bool,
}

/// Why the parameters do not name exactly one account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error(
        "both id and match_type or match_value are given: give the id alone, which is faster, or the match alone"
    )]
    IdAndMatch,
    #[error(
        "match_type is given without match_value: add the value that the trait has, such as techcorp.com"
    )]
    NoMatchValue,
    #[error(
        "match_value is given without match_type: add the trait that has it: domain, name, intercom_id, \
         salesforce_id, tracking_id or one of your own"
    )]
    NoMatchType,
    #[error("{parameter} has more than {MAX_VALUE_BYTES} bytes: give a shorter one")]
    TooLong { parameter: &'static str },
    #[error(
        "expand has no block {word:?}{}: give insights, traits and segments, with commas between",
        .nearest.map(|nearest| format!(", did you mean {nearest}?")).unwrap_or_default()
    )]
    UnknownExpansion { word: String, nearest: Option<&'static str> },
}

impl Lookup {
    /// Reads the API's own parameters. `None` if all are missing or blank.
    pub fn from_parameters(
        id: Option<String>,
        match_type: Option<String>,
        match_value: Option<String>,
    ) -> Result<Option<Self>, QueryError> {
        match [id, match_type, match_value].map(|given| given.filter(|text| !text.trim().is_empty())) {
            [None, None, None] => Ok(None),
            [Some(id), None, None] => Ok(Some(Self::Id(id))),
            [None, Some(kind), Some(value)] => Ok(Some(Self::Match { kind, value })),
            [None, Some(_), None] => Err(QueryError::NoMatchValue),
            [None, None, Some(_)] => Err(QueryError::NoMatchType),
            [Some(_), ..] => Err(QueryError::IdAndMatch),
        }
    }
}

impl ExpandBlocks {
    const NAMES: [&str; 3] = ["insights", "traits", "segments"];

    /// The requested blocks, by the API's names.
    fn names(self) -> impl Iterator<Item = &'static str> {
        let asked = [self.insights, self.traits, self.segments];
        Self::NAMES.into_iter().zip(asked).filter_map(|(name, is_asked)| is_asked.then_some(name))
    }
}

/// Reads `insights,traits`. Blanks and repeats are ignored.
impl FromStr for ExpandBlocks {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let mut expand = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "insights" => expand.insights = true,
                "traits" => expand.traits = true,
                "segments" => expand.segments = true,
                _ => {
                    let nearest = nearest(word, Self::NAMES.into_iter());
                    let word = word.chars().take(64).collect();
                    return Err(QueryError::UnknownExpansion { word, nearest });
                }
            }
        }
        Ok(expand)
    }
}

impl Query {
    /// The path of the call. `workspace_id` is used if the query has none.
    pub(super) fn path(&self, lookup: &Lookup, workspace_id: &str) -> Result<String, QueryError> {
        let workspace_id = self.workspace_id.as_deref().unwrap_or(workspace_id);
        let mut parameters = vec![("workspace_id", workspace_id)];
        match lookup {
            Lookup::Id(id) => parameters.push(("id", id)),
            Lookup::Match { kind, value } => parameters.extend(
                [("match_type", kind), ("match_value", value)].map(|(name, text)| (name, text.as_str())),
            ),
        }
        if let Some((parameter, _)) = parameters.iter().find(|(_, text)| text.len() > MAX_VALUE_BYTES) {
            return Err(QueryError::TooLong { parameter });
        }
        let mut path = Serializer::for_suffix("/v1/accounts?".to_owned(), "/v1/accounts?".len());
        path.extend_pairs(parameters);
        let expand: Vec<&str> = self.expand.names().collect();
        if !expand.is_empty() {
            path.append_pair("expand", &expand.join(","));
        }
        Ok(path.finish())
    }
}

#[cfg(test)]
mod tests;
