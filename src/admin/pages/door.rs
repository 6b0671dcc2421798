//! `/failures/door`: refused requests, by reason, route and key.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::shell::Shell;
use super::{assets, page, words};
use crate::admin::Admin;
use crate::admin::api::door::{self, DoorView};

#[derive(Template)]
#[template(path = "door.html")]
struct DoorPage {
    shell: Shell,
    view: DoorView,
}

pub(super) async fn show(State(admin): State<Admin>, shell: Shell) -> Response {
    let view = door::view(&admin, shell.access);
    page(StatusCode::OK, &DoorPage { shell: shell.at("/failures"), view })
}
