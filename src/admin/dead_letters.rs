//! `/api/dead-letters/replay` and `/api/dead-letters/purge`: one step of either; see `replay::Selection`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::{Admin, body};
use crate::receive;
use crate::replay::{self, ReplayError, Replayer, Selection, Step};

/// `POST /api/dead-letters/replay`: dead letters go out again, rejects through the mappings in force.
pub(super) async fn replay(State(admin): State<Admin>, request: Body) -> Response {
    let selection: Selection = match body(request).await {
        Ok(selection) => selection,
        Err(response) => return response,
    };
    let receiver = admin.receiver();
    let replayer = Replayer::new(receiver.sources(), receiver.limits());
    answer(replay::replay(admin.outbox(), &replayer, &selection).await)
}

/// `POST /api/dead-letters/purge`: they are removed for good.
pub(super) async fn purge(State(admin): State<Admin>, request: Body) -> Response {
    let selection: Selection = match body(request).await {
        Ok(selection) => selection,
        Err(response) => return response,
    };
    answer(replay::purge(admin.outbox(), &selection).await)
}

fn answer(step: Result<Step, ReplayError>) -> Response {
    match step {
        Ok(step) => receive::json(StatusCode::OK, &serde_json::to_value(step).unwrap_or_default()),
        Err(error) => super::failed(&error),
    }
}
