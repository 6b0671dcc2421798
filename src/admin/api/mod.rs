//! The routes, one file for each resource. Each has a view, which is the answer's shape, and a plain function that makes it of the
//! state and the request; the JSON handler and the dashboard's page both call that function.
//!
//! A new route: a file with its view, function and handler, and a line in [`routes`]. The document follows by itself.

pub mod accounts;
pub mod config;
pub mod dead_letters;
pub mod destinations;
pub mod door;
pub mod effect;
pub mod events;
pub mod export;
pub mod failures;
pub mod health;
pub mod history;
pub mod imports;
pub mod live;
pub mod mappings;
pub mod overview;
pub mod replays;
pub mod shared;
pub mod syncs;
pub mod test;
pub mod users;
pub mod version;
pub mod waiting;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Admin, metrics};

/// Every route that needs a token.
pub(super) fn routes() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(mappings::reload_now))
        .routes(routes!(mappings::list))
        .routes(routes!(accounts::get))
        .routes(routes!(syncs::show))
        .routes(routes!(syncs::start))
        .routes(routes!(syncs::show_run))
        .routes(routes!(waiting::list))
        .routes(routes!(waiting::retry))
        .routes(routes!(waiting::move_gone))
        .routes(routes!(waiting::purge))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(dead_letters::purge))
        .routes(routes!(overview::show))
        .routes(routes!(history::show))
        .routes(routes!(history::series))
        .routes(routes!(mappings::versions))
        .routes(routes!(events::list))
        .routes(routes!(events::show))
        .routes(routes!(events::explain))
        .routes(routes!(events::original))
        .routes(routes!(events::support))
        .routes(routes!(live::stream))
        .routes(routes!(export::stream))
        .routes(routes!(test::dry))
        .routes(routes!(test::send))
        .routes(routes!(effect::show))
        .routes(routes!(users::find))
        .routes(routes!(failures::list))
        .routes(routes!(failures::show))
        .routes(routes!(replays::list, replays::start))
        .routes(routes!(replays::show))
        .routes(routes!(replays::pause))
        .routes(routes!(replays::resume))
        .routes(routes!(replays::cancel))
        .routes(routes!(replays::purge))
        .routes(routes!(imports::begin))
        .routes(routes!(imports::step))
        .routes(routes!(destinations::list))
        .routes(routes!(destinations::pause))
        .routes(routes!(destinations::resume))
        .routes(routes!(destinations::probe))
        .routes(routes!(door::list))
        .routes(routes!(config::show))
        .routes(routes!(config::setup))
        .routes(routes!(version::show))
        .routes(routes!(metrics::show))
}

/// Routes for load balancers and orchestrators.
pub(super) fn open_routes() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(health::health)).routes(routes!(health::ready))
}
