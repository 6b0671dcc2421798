//! `GET /api/config`: the configuration in force without its secrets. `GET /api/setup`: what to paste into each sender.

use std::sync::atomic::Ordering;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::request::{NoParameters, Parameters};
use crate::config;
use crate::event::SourceKind;

#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigView {
    /// TOML, as `config show` prints it: secrets are hidden.
    pub toml: String,
}

/// What senders need.
#[derive(Debug, Serialize, ToSchema)]
pub struct SetupView {
    /// `server.public_url`: the address by which senders reach the relay; `None` if it is not configured.
    pub public_url: Option<String>,
    /// The address of the public listener.
    pub listen: String,
    pub sources: Vec<SourceSetup>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SourceSetup {
    pub name: String,
    /// `segment` or `amplitude`.
    pub kind: String,
    /// Whether requests need a write key.
    pub has_write_key: bool,
    /// Whether webhooks must be signed.
    pub has_shared_secret: bool,
    /// The routes that its senders post to, the usual one first.
    pub routes: Vec<String>,
    pub destinations: Vec<String>,
    /// Events since the start.
    pub received: u64,
}

pub fn view(admin: &Admin) -> ConfigView {
    ConfigView { toml: config::show(admin.config()) }
}

pub fn setup_view(admin: &Admin) -> SetupView {
    let sources = admin.receiver().sources();
    let source = |source: &std::sync::Arc<crate::pipeline::Source>| {
        let counts = &source.counts;
        let counts = [&counts.accepted, &counts.duplicates, &counts.skipped, &counts.rejected];
        SourceSetup {
            name: source.name.to_string(),
            kind: source.kind.name().to_owned(),
            has_write_key: source.write_key.is_some(),
            has_shared_secret: source.shared_secret.is_some(),
            routes: routes(source.kind).iter().map(|route| (*route).to_owned()).collect(),
            destinations: source.destinations.iter().map(|one| one.name.to_string()).collect(),
            received: counts.iter().map(|count| count.load(Ordering::Relaxed)).sum(),
        }
    };
    SetupView {
        public_url: admin.config().server.public_url.clone(),
        listen: admin.config().server.listen.to_string(),
        sources: sources.iter().map(source).collect(),
    }
}

const fn routes(kind: SourceKind) -> &'static [&'static str] {
    match kind {
        SourceKind::Segment => &["/segment", "/v1/batch", "/v1/track"],
        SourceKind::Amplitude => &["/amplitude", "/2/httpapi", "/batch"],
    }
}

/// The configuration in force, its secrets hidden
#[utoipa::path(get, path = "/api/config", responses((status = 200, body = ConfigView)))]
pub(in crate::admin) async fn show(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Json<ConfigView> {
    Json(view(&admin))
}

/// What to paste into each sender
#[utoipa::path(get, path = "/api/setup", responses((status = 200, body = SetupView)))]
pub(in crate::admin) async fn setup(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Json<SetupView> {
    Json(setup_view(&admin))
}
