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
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, Response as Answer, ResponseBuilder};

use super::Admin;
use super::error::ErrorBody;

/// The scheme's name in the document.
const TOKEN: &str = "token";
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
pub(super) async fn show(State(admin): State<Admin>) -> Response {
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
    if is_open {
        return;
    }
    operation.security = Some(vec![SecurityRequirement::new(TOKEN, Vec::<String>::new())]);
    for (statuses, description) in
        [("4XX", "The request cannot be done as it is"), ("5XX", "Not possible now")]
    {
        let answers = &mut operation.responses.responses;
        answers.entry(statuses.to_owned()).or_insert_with(|| RefOr::T(error(description)));
    }
}

fn error(description: &str) -> Answer {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
    ResponseBuilder::new().description(description).content("application/json", content).build()
}

/// Returns the methods that this API uses.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, post, delete, .. } = item;
    [("get", get), ("post", post), ("delete", delete)]
        .into_iter()
        .filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}
