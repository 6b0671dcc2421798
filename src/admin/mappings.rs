//! `/api/mappings`, the mappings in force, and `/api/reload`, which reads their files again.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Admin, refusal};
use crate::accoil::Destination;
use crate::fault::{Fault, Place};
use crate::mapping::Mapping;
use crate::pipeline::Sources;
use crate::receive::{self, Receiver};
use crate::telemetry;

/// What reading the mappings again came to.
#[derive(Debug)]
pub struct Reloaded {
    pub mappings: usize,
    pub warnings: Vec<Fault>,
}

/// Reads the mapping files of every destination again, all or nothing, and logs what came of it.
pub fn reload(receiver: &Receiver) -> Result<Reloaded, Vec<Fault>> {
    let sources = receiver.read_mappings_again().inspect_err(|faults| telemetry::mappings_refused(faults))?;
    let reloaded = Reloaded {
        mappings: rows(&sources).count(),
        warnings: sources.destinations().iter().flat_map(|one| one.mappings.warnings.clone()).collect(),
    };
    telemetry::mappings_read(reloaded.mappings, &reloaded.warnings);
    Ok(reloaded)
}

/// `POST /api/reload`
pub(super) async fn reload_now(State(admin): State<Admin>) -> Response {
    match tokio::task::spawn_blocking(move || reload(&admin.0.receiver)).await {
        Ok(Ok(Reloaded { mappings, warnings })) => {
            let warnings: Vec<Value> = warnings.iter().map(fault).collect();
            receive::json(StatusCode::OK, &json!({"mappings": mappings, "warnings": warnings}))
        }
        Ok(Err(faults)) => {
            let error =
                "the mapping files have faults; those in force before stay in force; mend them and reload";
            let faults: Vec<Value> = faults.iter().map(fault).collect();
            let body = json!({"error": error, "code": "invalid_mappings", "faults": faults});
            receive::json(StatusCode::BAD_REQUEST, &body)
        }
        Err(_) => refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed",
            "the relay failed while it read the mappings; those in force before stay in force; see its log",
        ),
    }
}

/// `GET /api/mappings`
pub(super) async fn list(State(admin): State<Admin>) -> Response {
    let sources = admin.0.receiver.sources();
    let rows: Vec<Value> = rows(&sources).map(|(destination, mapping)| row(destination, mapping)).collect();
    receive::json(StatusCode::OK, &json!({"mappings": rows}))
}

fn rows(sources: &Sources) -> impl Iterator<Item = (&Destination, &Mapping)> {
    sources
        .destinations()
        .iter()
        .flat_map(|destination| destination.mappings.iter().map(|mapping| (&**destination, mapping)))
}

fn row(destination: &Destination, mapping: &Mapping) -> Value {
    json!({
        "destination": &*destination.name,
        "mapping": &*mapping.name,
        "enabled": mapping.enabled,
        "source": mapping.source.map(crate::event::SourceKind::name),
        "trigger": mapping.trigger.to_string(),
        "action": mapping.action.slug,
        "origin": mapping.origin,
    })
}

/// Without a place in a file, `file` names the environment variable or is empty, and line and column are 0.
fn fault(fault: &Fault) -> Value {
    let (file, line, column) = match &fault.place {
        Place::File { file, line, column } => (file.display().to_string(), *line, *column),
        Place::Variable(name) => (name.clone(), 0, 0),
        Place::Unknown => (String::new(), 0, 0),
    };
    let separator = if fault.advice.is_empty() { "" } else { ": " };
    let message = format!("{}{separator}{}", fault.message, fault.advice);
    json!({"file": file, "line": line, "column": column, "message": message})
}
