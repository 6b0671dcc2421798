//! `GET /openapi.json`: every route with its parameters and answers, generated from the handlers themselves.
//!
//! What is the same for every route is added here: names of operations, the token, and the form of errors.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, Response as Answer};

use super::Admin;
use super::error::ErrorBody;
use super::request::{NoParameters, Parameters};

/// The scheme's name in the document.
const TOKEN: &str = "token";
/// The errors that are added to every route: a request that breaks the rules of HTTP or has an unknown parameter, and a fault of the
/// relay. Each route lists its other errors itself.
const EVERYWHERE: [&str; 2] = ["400", "500"];
/// The errors that are added to the routes that need a token.
const WITH_TOKEN: [&str; 2] = ["401", "403"];
/// Routes that need no token.
const OPEN: [&str; 4] = ["/healthz", "/readyz", "/login", "/logout"];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "accoil-relay",
        description = "What the relay received, what became of it, and how to steer it. Times are RFC 3339 in UTC; a time \
                       parameter may also be a date, or relative, such as -24h. Lists have cursors: pass what `next` gives to get the next page.",
    ),
    paths(super::pages::login::log_in, super::pages::login::log_out),
    components(schemas(ErrorBody))
)]
struct Base;

/// This document
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = serde_json::Value)))]
pub(super) async fn show(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Response {
    let mut response = Response::new(Body::from(admin.document()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Returns the document before the routes are added.
pub(super) fn base() -> Document {
    let mut document = Base::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    if let Some(components) = &mut document.components {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("admin.token, or admin.viewer_token, which only reads"))
            .build();
        components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
    }
    document
}

/// Adds what is the same for every route.
pub(super) fn complete(document: &mut Document) {
    for (path, item) in &mut document.paths.paths {
        let is_open = OPEN.contains(&path.as_str());
        for (method, operation) in operations(item) {
            complete_operation(operation, method, path, is_open);
        }
    }
}

fn complete_operation(operation: &mut Operation, method: &str, path: &str, is_open: bool) {
    let words =
        path.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    operation.operation_id = Some(format!("{method}_{}", words.join("_")));
    let tag = words.iter().find(|word| **word != "api").copied().unwrap_or("api");
    operation.tags = Some(vec![tag.to_owned()]);
    let answers = &mut operation.responses.responses;
    for status in EVERYWHERE {
        answers.entry(status.to_owned()).or_insert_with(|| RefOr::T(Answer::default()));
    }
    if !is_open {
        operation.security = Some(vec![SecurityRequirement::new(TOKEN, Vec::<String>::new())]);
        for status in WITH_TOKEN {
            answers.entry(status.to_owned()).or_insert_with(|| RefOr::T(Answer::default()));
        }
    }
    for (status, answer) in answers {
        if let RefOr::T(answer) = answer {
            complete_answer(answer, status, is_open);
        }
    }
}

/// Adds the form of errors, and what the status means if the route does not say it.
fn complete_answer(answer: &mut Answer, status: &str, is_open: bool) {
    let Some(meaning) = meaning(status) else { return };
    if answer.description.is_empty() {
        meaning.clone_into(&mut answer.description);
    }
    if answer.content.is_empty() && (!is_open || EVERYWHERE.contains(&status)) {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
        answer.content.insert("application/json".to_owned(), RefOr::T(content));
    }
}

/// Returns what a status means on every route that gives it; `None` if it is no error.
fn meaning(status: &str) -> Option<&'static str> {
    Some(match status {
        "400" => "The request cannot be used: the error names the parameter or the member of the body",
        "401" => "The token is missing or wrong",
        "403" => "The token does not allow this",
        "404" => "There is no such thing, or what it needs is not configured",
        "409" => "The present state does not allow it",
        "429" => "Too many requests",
        "500" => "The relay failed on this request: its log has the reason",
        "502" => "Accoil gave no answer, or one that cannot be used",
        "503" => "Not possible now",
        "504" => "Accoil did not answer in time",
        _ => return None,
    })
}

/// Returns the methods that this API uses.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, post, delete, .. } = item;
    [("get", get), ("post", post), ("delete", delete)]
        .into_iter()
        .filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}
