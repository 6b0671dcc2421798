//! `/api`: the routes of `/openapi.json` as a page, each with a curl command to copy.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::markup::Markup;
use super::shell::Shell;
use super::{assets, page, words};
use crate::admin::Admin;

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage {
    shell: Shell,
    routes: Vec<Route>,
}

struct Route {
    method: String,
    path: String,
    summary: String,
    description: String,
    parameters: Vec<Parameter>,
    curl: String,
}

struct Parameter {
    name: String,
    /// `query` or `path`.
    place: String,
    description: String,
}

pub(super) async fn show(State(admin): State<Admin>, headers: HeaderMap, shell: Shell) -> Response {
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:8081");
    let has_token = admin.config().admin.token.is_some();
    let document: Value = serde_json::from_slice(&admin.document()).unwrap_or_default();
    let paths = document["paths"].as_object().into_iter().flatten();
    let routes = paths.flat_map(|(path, operations)| {
        let operations = operations.as_object().into_iter().flatten();
        operations.map(|(method, operation)| Route::new(method, path, operation, host, has_token))
    });
    page(StatusCode::OK, &ReferencePage { routes: routes.collect(), shell })
}

impl Route {
    fn new(method: &str, path: &str, operation: &Value, host: &str, has_token: bool) -> Self {
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let method = method.to_uppercase();
        let request = if method == "GET" { String::new() } else { format!("-X {method} ") };
        let token = if has_token { "-H \"Authorization: Bearer $TOKEN\" " } else { "" };
        let body = if operation["requestBody"].is_object() { " -d '{}'" } else { "" };
        Self {
            curl: format!("curl {request}{token}'http://{host}{path}'{body}"),
            method,
            path: path.to_owned(),
            summary: text(operation, "summary"),
            description: text(operation, "description"),
            parameters: parameters
                .map(|one| Parameter {
                    name: text(one, "name"),
                    place: text(one, "in"),
                    description: text(one, "description"),
                })
                .collect(),
        }
    }
}
