//! `/setup`: the exact address and header for each sender, and whether its first event has arrived.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::shell::Shell;
use super::{assets, page, words};
use crate::admin::Admin;
use crate::admin::api::config::{self, SetupView};

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    shell: Shell,
    view: SetupView,
    /// `https://relay.example.com`: where senders post.
    base: String,
    /// The same without the scheme: what analytics.js wants.
    host: String,
}

pub(super) async fn show(State(admin): State<Admin>, shell: Shell) -> Response {
    let view = config::setup_view(&admin);
    let base = view.public_url.clone().unwrap_or_else(|| format!("http://{}", view.listen));
    let base = base.trim_end_matches('/').to_owned();
    let host = base.split_once("://").map_or(base.as_str(), |(_, host)| host).to_owned();
    page(StatusCode::OK, &SetupPage { shell: shell.at("/setup"), view, base, host })
}
