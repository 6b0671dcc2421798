//! Reads a route's request: parameters, body, and the name in the path. Every read is capped. A parameter that the
//! route does not know is refused, with the most similar one that it knows.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::StatusCode;
use http::request::Parts;
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::error::ApiError;
use accoil_mapping::nearest;

/// The most bytes of a request's body: a filter with many ids, or an event to test.
const MAX_BODY: usize = 5 << 20;
/// The most characters of a name that an error repeats.
const MAX_SHOWN: usize = 64;
/// The most parameters of one request.
const MAX_PARAMETERS: usize = 64;

/// The parameters after the question mark. One without a value counts as not given, because forms send all their
/// fields.
#[derive(Debug, Clone)]
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned + IntoParams> Parameters<T> {
    /// Reads the text after the question mark.
    pub fn read(raw: &str) -> Result<T, ApiError> {
        let known: Vec<String> = T::into_params(|| None).into_iter().map(|one| one.name).collect();
        let mut given: Vec<(&str, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(raw.as_bytes()).take(MAX_PARAMETERS + 1) {
            let Some(name) = known.iter().find(|known| **known == *name) else {
                return Err(unknown(&name, &known));
            };
            if given.iter().any(|(earlier, _)| *earlier == name) {
                return Err(ApiError::invalid(format!("{name} is given twice: give it once")));
            }
            if !value.is_empty() {
                given.push((name, value.into_owned()));
            }
        }
        // Each parameter is read alone first, so that the error can name it.
        for (name, value) in &given {
            let one = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
            if let Err(error) = serde_urlencoded::from_str::<T>(&one)
                && !error.to_string().starts_with("missing field")
            {
                return Err(ApiError::invalid(format!("the value of {name} cannot be used: {error}")));
            }
        }
        let all = form_urlencoded::Serializer::new(String::new()).extend_pairs(&given).finish();
        serde_urlencoded::from_str(&all)
            .map_err(|error| ApiError::invalid(format!("the parameters cannot be used: {error}")))
    }
}

impl<S: Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::read(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn unknown(name: &str, known: &[String]) -> ApiError {
    let shown: String = name.chars().take(MAX_SHOWN).collect();
    let nearest = nearest(name, known.iter().map(String::as_str));
    let suggestion = nearest.map(|nearest| format!(", did you mean {nearest}?")).unwrap_or_default();
    let known = match known {
        [] => "this route has no parameters".to_owned(),
        [only] => format!("the only one is {only}"),
        [first @ .., last] => format!("the parameters are {} and {last}", first.join(", ")),
    };
    let error = if suggestion.is_empty() {
        format!("there is no parameter {shown:?}: {known}")
    } else {
        format!("there is no parameter {shown:?}{suggestion} {}", capitalized(&known))
    };
    ApiError::invalid(error)
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// A route without parameters.
#[derive(Debug, Clone, Copy, serde::Deserialize, IntoParams)]
pub struct NoParameters {}

/// The body: a JSON object.
#[derive(Debug)]
pub struct Payload<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Payload<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        read_body(request.into_body()).await.map(Self)
    }
}

async fn read_body<T: DeserializeOwned>(body: Body) -> Result<T, ApiError> {
    let refused = |error: String| ApiError::new(StatusCode::BAD_REQUEST, "invalid_body", error);
    let bytes = Limited::new(body, MAX_BODY)
        .collect()
        .await
        .map_err(|_| refused(format!("the body did not arrive whole, or has more than {MAX_BODY} bytes")))?;
    let bytes = bytes.to_bytes();
    // serde would read an array as an object without members.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(refused("the body must be a JSON object".to_owned()));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| refused(format!("the body cannot be read as JSON: {error}")))
}

/// The name of a resource in the path.
#[derive(Debug)]
pub struct PathName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(_) => Err(ApiError::not_found("the name in the path is not UTF-8; percent-encode it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize, IntoParams)]
    struct Some {
        user: Option<String>,
        most: Option<usize>,
    }

    #[test]
    fn unknown_doubled_and_wrong_parameters_are_named() {
        let read = |raw: &str| Parameters::<Some>::read(raw).map_err(|error| error.error);
        assert_eq!(read("user=a%20b&most="), Ok(Some { user: Some("a b".to_owned()), most: None }));
        for (raw, part) in [
            ("usr=1", "no parameter \"usr\", did you mean user? The parameters are user and most"),
            ("colour=1", "no parameter \"colour\": the parameters are user and most"),
            ("user=1&user=2", "user is given twice"),
            ("user=a&most=many", "the value of most cannot be used: invalid digit"),
            ("most=-1", "the value of most cannot be used"),
        ] {
            let error = read(raw).unwrap_err();
            assert!(error.contains(part), "{raw}: {error}");
        }
    }
}
