//! Which account, and how much of it: the parameters of `GET /v1/accounts`, checked before a call is made.
//!
//! Values are passed on exactly as they were given, percent-encoded; blank ones count as not given.

use std::str::FromStr;

use form_urlencoded::Serializer;

use crate::nearest::nearest;

/// A longer value is refused: no id, domain or name is so long, and a path has an end.
const MOST_VALUE_BYTES: usize = 2048;

/// One account and what is asked of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Query {
    /// Which; Accoil answers nothing without.
    pub lookup: Option<Lookup>,
    pub expand: Expand,
    /// Else the client's own.
    pub workspace_id: Option<String>,
}

/// How an account is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// Accoil's own id, the last number of the account's address in the app: the fastest.
    Id(String),
    /// `domain`, `name`, `intercom_id`, `salesforce_id`, `tracking_id` or any custom trait, and its exact value.
    Match { kind: String, value: String },
}

/// The data blocks that are sent only if asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Expand {
    pub insights: bool,
    pub traits: bool,
    pub segments: bool,
}

/// Why parameters name no account, or more than one.
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
    #[error("{parameter} has more than {MOST_VALUE_BYTES} bytes: give a shorter one")]
    TooLong { parameter: &'static str },
    #[error(
        "expand has no block {word:?}{}: give insights, traits and segments, with commas between",
        .nearest.map(|nearest| format!(", did you mean {nearest}?")).unwrap_or_default()
    )]
    UnknownExpansion { word: String, nearest: Option<&'static str> },
}

impl Lookup {
    /// From the API's own parameters; `None` if none says anything.
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

impl Expand {
    const NAMES: [&str; 3] = ["insights", "traits", "segments"];

    /// The blocks asked for, by the API's names.
    fn names(self) -> impl Iterator<Item = &'static str> {
        let asked = [self.insights, self.traits, self.segments];
        Self::NAMES.into_iter().zip(asked).filter_map(|(name, is_asked)| is_asked.then_some(name))
    }
}

/// `insights,traits`: blanks and repeats do no harm.
impl FromStr for Expand {
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
    /// The call's path. `lookup` is this query's, `workspace_id` what it falls back on.
    pub(super) fn path(&self, lookup: &Lookup, workspace_id: &str) -> Result<String, QueryError> {
        let workspace_id = self.workspace_id.as_deref().unwrap_or(workspace_id);
        let mut parameters = vec![("workspace_id", workspace_id)];
        match lookup {
            Lookup::Id(id) => parameters.push(("id", id)),
            Lookup::Match { kind, value } => parameters.extend(
                [("match_type", kind), ("match_value", value)].map(|(name, text)| (name, text.as_str())),
            ),
        }
        if let Some((parameter, _)) = parameters.iter().find(|(_, text)| text.len() > MOST_VALUE_BYTES) {
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
mod tests {
    use super::*;

    #[test]
    fn parameters_name_one_account_or_say_what_is_missing() {
        let id = |id: &str| Ok(Some(Lookup::Id(id.to_owned())));
        let by_domain = Lookup::Match { kind: "domain".to_owned(), value: "techcorp.com".to_owned() };
        for (parameters, expected) in [
            ([None, None, None], Ok(None)),
            ([Some(" "), Some(""), None], Ok(None)),
            ([Some("456"), None, None], id("456")),
            ([Some(" a b"), Some(""), None], id(" a b")),
            ([None, Some("domain"), Some("techcorp.com")], Ok(Some(by_domain))),
            ([None, Some("domain"), Some(" ")], Err(QueryError::NoMatchValue)),
            ([None, None, Some("techcorp.com")], Err(QueryError::NoMatchType)),
            ([Some("456"), Some("domain"), None], Err(QueryError::IdAndMatch)),
            ([Some("456"), Some("domain"), Some("techcorp.com")], Err(QueryError::IdAndMatch)),
        ] {
            let [id, kind, value] = parameters.map(|text| text.map(str::to_owned));
            assert_eq!(Lookup::from_parameters(id, kind, value), expected, "{parameters:?}");
        }
    }

    #[test]
    fn expand_is_a_list_and_an_unknown_word_has_its_nearest() {
        let all = Expand { insights: true, traits: true, segments: true };
        for (text, expected) in [
            ("", Expand::default()),
            ("traits", Expand { traits: true, ..Expand::default() }),
            (" segments , ,traits,segments", Expand { insights: false, ..all }),
            ("insights,traits,segments", all),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        let told = |text: &str| text.parse::<Expand>().unwrap_err().to_string();
        insta::assert_snapshot!(told("traits,insight"), @r#"expand has no block "insight", did you mean insights?: give insights, traits and segments, with commas between"#);
        insta::assert_snapshot!(told("all"), @r#"expand has no block "all": give insights, traits and segments, with commas between"#);
    }

    #[test]
    fn the_path_has_every_documented_parameter_and_what_is_given_exactly() {
        let path = |lookup: Lookup, expand: &str, workspace_id: Option<&str>| {
            let query = Query {
                lookup: None,
                expand: expand.parse().unwrap(),
                workspace_id: workspace_id.map(str::to_owned),
            };
            query.path(&lookup, "123")
        };
        let id = |text: &str| Lookup::Id(text.to_owned());
        let by = |kind: &str, value: &str| Lookup::Match { kind: kind.to_owned(), value: value.to_owned() };
        assert_eq!(path(id("456"), "", None).unwrap(), "/v1/accounts?workspace_id=123&id=456");
        assert_eq!(
            path(by("domain", "techcorp.com"), "traits,insights", Some("7")).unwrap(),
            "/v1/accounts?workspace_id=7&match_type=domain&match_value=techcorp.com&expand=insights%2Ctraits"
        );
        assert_eq!(
            path(by("my trait", "a/b%2F c+d&é"), "", None).unwrap(),
            "/v1/accounts?workspace_id=123&match_type=my+trait&match_value=a%2Fb%252F+c%2Bd%26%C3%A9"
        );
        let long = "x".repeat(MOST_VALUE_BYTES + 1);
        assert_eq!(path(id(&long), "", None), Err(QueryError::TooLong { parameter: "id" }));
        assert!(path(id(&long[1..]), "", None).unwrap().len() < 65_000);
    }
}
