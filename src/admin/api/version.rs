//! `GET /api/version`: the program's version and when it started.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::request::{NoParameters, Parameters};

#[derive(Debug, Serialize, ToSchema)]
pub struct VersionView {
    pub name: String,
    pub version: String,
    pub started_at: DateTime<Utc>,
}

pub fn view(admin: &Admin) -> VersionView {
    VersionView {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: admin.started().into(),
    }
}

/// The version, and since when it runs
#[utoipa::path(get, path = "/api/version", responses((status = 200, body = VersionView)))]
pub(in crate::admin) async fn show(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Json<VersionView> {
    Json(view(&admin))
}
