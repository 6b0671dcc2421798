//! `/api/mappings`: the mappings in force, or those of a version that the history keeps. `/api/reload`: reloads their files.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::events::history_failed;
use crate::accoil::Destination;
use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::request::{NoParameters, Parameters};
use crate::fault::{Fault, Place};
use crate::mapping::Mapping;
use crate::pipeline::Sources;
use crate::receive::Receiver;
use crate::telemetry;

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MappingsQuery {
    /// A version that `/api/mappings/versions` lists or an event names; without it, the mappings in force.
    pub version: Option<String>,
}

/// The mappings of one version.
#[derive(Debug, Serialize, ToSchema)]
pub struct MappingsView {
    /// The version, as events name it.
    pub version: String,
    /// Whether it is in force.
    pub is_in_force: bool,
    pub mappings: Vec<MappingView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MappingView {
    pub destination: String,
    pub mapping: String,
    pub enabled: bool,
    /// The only kind of source that it handles; `None` for both kinds.
    pub source: Option<String>,
    pub trigger: String,
    pub action: String,
    /// A preset or a file.
    pub origin: String,
}

/// The result of a reload.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReloadView {
    /// The number of mappings.
    pub mappings: usize,
    pub warnings: Vec<FaultView>,
}

/// A fault of a file. Without a place in a file, `file` names the environment variable or is empty, and line and column
/// are 0.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FaultView {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReloadQuery {
    /// Only reads the files and reports their faults.
    #[serde(default)]
    pub(in crate::admin) dry_run: bool,
}

/// The result of reloading the mappings.
#[derive(Debug)]
pub struct Reloaded {
    pub mappings: usize,
    pub warnings: Vec<Fault>,
}

impl Reloaded {
    fn of(sources: &Sources) -> Self {
        Self {
            mappings: rows(sources).count(),
            warnings: sources.destinations().iter().flat_map(|one| one.mappings.warnings.clone()).collect(),
        }
    }
}

/// Reloads the mapping files of every destination, all or none, and logs the result.
pub fn reload(receiver: &Receiver) -> Result<Reloaded, Vec<Fault>> {
    let sources =
        receiver.reload_mappings().inspect_err(|faults| telemetry::mappings_not_reloaded(faults))?;
    let reloaded = Reloaded::of(&sources);
    telemetry::mappings_reloaded(reloaded.mappings, &reloaded.warnings);
    Ok(reloaded)
}

/// Reloads the files. A dry run changes nothing.
pub async fn reload_view(admin: Admin, query: &ReloadQuery) -> Result<ReloadView, ApiError> {
    let dry_run = query.dry_run;
    let read = move || {
        let receiver = admin.receiver();
        if !dry_run {
            return reload(receiver);
        }
        receiver.sources().reload().map(|sources| Reloaded::of(&sources))
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Reloaded { mappings, warnings })) => {
            Ok(ReloadView { mappings, warnings: warnings.iter().map(fault).collect() })
        }
        Ok(Err(faults)) => {
            let error = "the mapping files have faults; the previous mappings stay in force; fix the files and reload";
            Err(invalid(error, &faults))
        }
        Err(_) => Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed",
            "the relay failed while it read the mappings; the previous mappings stay in force; see its log",
        )),
    }
}

/// Reload the mapping files, all or none
#[utoipa::path(post, path = "/api/reload", params(ReloadQuery), responses((status = 200, body = ReloadView)))]
pub(in crate::admin) async fn reload_now(
    State(admin): State<Admin>,
    Parameters(query): Parameters<ReloadQuery>,
) -> Result<Json<ReloadView>, ApiError> {
    reload_view(admin, &query).await.map(Json)
}

/// Returns the mappings in force, or those of the version that is asked for.
pub async fn view(admin: &Admin, query: &MappingsQuery) -> Result<MappingsView, ApiError> {
    let in_force = admin.receiver().sources();
    let version = match query.version.as_deref() {
        None => in_force.version(),
        Some(text) => u64::from_str_radix(text, 16).map_err(|_| {
            ApiError::invalid("that is no version: GET /api/mappings/versions lists those that are kept")
        })?,
    };
    let is_in_force = version == in_force.version();
    let sources = if is_in_force {
        in_force
    } else {
        sources_of(admin, version).await?.ok_or_else(|| {
            ApiError::not_found(
                "this version of the mappings is not kept: GET /api/mappings/versions lists those that are",
            )
        })?
    };
    let mappings = rows(&sources).map(|(destination, mapping)| row(destination, mapping)).collect();
    Ok(MappingsView { version: format!("{version:016x}"), is_in_force, mappings })
}

/// Returns the sources with the mappings of this version; `None` if the history does not keep it.
pub(super) async fn sources_of(admin: &Admin, version: u64) -> Result<Option<Arc<Sources>>, ApiError> {
    let reader = admin.history().clone();
    let document = tokio::task::spawn_blocking(move || reader.mappings(version)).await;
    let document = document.map_err(|_| ApiError::failed())?.map_err(|error| history_failed(&error))?;
    let Some(document) = document else { return Ok(None) };
    match admin.receiver().sources().with_mappings_of(&document) {
        Ok(sources) => Ok(Some(Arc::new(sources))),
        Err(error) => {
            let error = format!("this release cannot read the mappings of that version: {error}");
            Err(ApiError::conflict("old_mappings", error))
        }
    }
}

/// The mappings in force, or a version that the history keeps
#[utoipa::path(get, path = "/api/mappings", params(MappingsQuery),
    responses((status = 200, body = MappingsView), (status = 404), (status = 409), (status = 503)))]
pub(in crate::admin) async fn list(
    State(admin): State<Admin>,
    Parameters(query): Parameters<MappingsQuery>,
) -> Result<Json<MappingsView>, ApiError> {
    view(&admin, &query).await.map(Json)
}

fn rows(sources: &Sources) -> impl Iterator<Item = (&Destination, &Mapping)> {
    sources
        .destinations()
        .iter()
        .flat_map(|destination| destination.mappings.iter().map(|mapping| (&**destination, mapping)))
}

fn row(destination: &Destination, mapping: &Mapping) -> MappingView {
    MappingView {
        destination: destination.name.to_string(),
        mapping: mapping.name.to_string(),
        enabled: mapping.enabled,
        source: mapping.source.map(|kind| kind.name().to_owned()),
        trigger: mapping.trigger.to_string(),
        action: mapping.action.slug.clone(),
        origin: mapping.origin.clone(),
    }
}

/// Mappings that cannot be used, with their faults.
pub(super) fn invalid(error: &str, faults: &[Fault]) -> ApiError {
    let faults: Vec<FaultView> = faults.iter().map(fault).collect();
    let faults = serde_json::to_value(faults).unwrap_or_default();
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_mappings", error).with("faults", faults)
}

pub(super) fn fault(fault: &Fault) -> FaultView {
    let (file, line, column) = match &fault.place {
        Place::File { file, line, column } => (file.display().to_string(), *line, *column),
        Place::Variable(name) => (name.clone(), 0, 0),
        Place::Unknown => (String::new(), 0, 0),
    };
    let separator = if fault.advice.is_empty() { "" } else { ": " };
    FaultView { file, line, column, message: format!("{}{separator}{}", fault.message, fault.advice) }
}

/// The versions of the mappings that the history knows, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct MappingsVersionsView {
    pub versions: Vec<MappingsVersionView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MappingsVersionView {
    /// The version, as events name it.
    pub version: String,
    /// When it came into force.
    pub at: chrono::DateTime<chrono::Utc>,
}

pub async fn versions_view(admin: &Admin) -> Result<MappingsVersionsView, ApiError> {
    let reader = admin.history().clone();
    if !reader.is_on() {
        return Ok(MappingsVersionsView { versions: Vec::new() });
    }
    let versions = tokio::task::spawn_blocking(move || reader.versions()).await;
    let versions = versions.map_err(|_| ApiError::failed())?.map_err(|error| history_failed(&error))?;
    let one = |one: crate::history::Version| MappingsVersionView {
        version: format!("{:016x}", one.version),
        at: chrono::DateTime::from_timestamp_millis(one.at).unwrap_or_default(),
    };
    Ok(MappingsVersionsView { versions: versions.into_iter().map(one).collect() })
}

/// The versions of the mappings that the history knows
#[utoipa::path(get, path = "/api/mappings/versions",
    responses((status = 200, body = MappingsVersionsView), (status = 503)))]
pub(in crate::admin) async fn versions(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<MappingsVersionsView>, ApiError> {
    versions_view(&admin).await.map(Json)
}
