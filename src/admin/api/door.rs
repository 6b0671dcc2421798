//! `GET /api/door`: the requests that were refused, in groups.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::shared::ReasonView;
use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::guard::Access;
use crate::admin::request::{NoParameters, Parameters};
use crate::facts::{RefusedRequestGroup, RefusedRequestKey, Sample};

/// The requests that were refused since the start, the latest group first.
#[derive(Debug, Serialize, ToSchema)]
pub struct DoorView {
    /// The requests of all groups.
    pub count: u64,
    pub groups: Vec<DoorGroupView>,
}

/// Refused requests for the same reason.
#[derive(Debug, Serialize, ToSchema)]
pub struct DoorGroupView {
    pub reason: ReasonView,
    /// `segment` or `amplitude`; `None` if the path belongs to neither.
    pub kind: Option<String>,
    /// `None` if the key belongs to no source.
    pub source: Option<String>,
    pub route: String,
    pub status: u16,
    /// About the key of the requests: its length, and the first three characters of a long one.
    pub key: Option<KeyHintView>,
    pub count: u64,
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    /// The last ones, oldest first.
    pub samples: Vec<SampleView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct KeyHintView {
    pub length: u32,
    /// Empty for a short key.
    pub begins: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SampleView {
    pub at: DateTime<Utc>,
    pub address: Option<String>,
    pub agent: Option<String>,
    /// The bytes of the body that were read.
    pub bytes: u64,
    /// The beginning of the body, if it was read and the token may see it.
    pub body: Option<String>,
}

pub fn view(admin: &Admin, access: Access) -> DoorView {
    let mut groups: Vec<_> = admin
        .facts()
        .refused_requests()
        .groups()
        .into_iter()
        .map(|(key, group)| one(key, group, access))
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.last));
    DoorView { count: groups.iter().map(|group| group.count).sum(), groups }
}

fn one(key: RefusedRequestKey, group: RefusedRequestGroup, access: Access) -> DoorGroupView {
    DoorGroupView {
        reason: key.reason.into(),
        kind: key.kind.map(|kind| kind.name().to_owned()),
        source: key.source.map(|source| source.to_string()),
        route: key.route.into_owned(),
        status: key.status,
        key: key.key.map(|hint| KeyHintView { length: hint.length, begins: hint.begins }),
        count: group.count,
        first: group.first,
        last: group.last,
        samples: group.samples.into_iter().map(|sample| self::sample(sample, access)).collect(),
    }
}

fn sample(sample: Sample, access: Access) -> SampleView {
    let body = sample.body.filter(|_| access.sees_payloads());
    SampleView {
        at: sample.at,
        address: sample.address.map(|address| address.to_string()),
        agent: sample.agent,
        bytes: sample.bytes,
        body,
    }
}

/// The requests that were refused, in groups
#[utoipa::path(get, path = "/api/door", responses((status = 200, body = DoorView)))]
pub(in crate::admin) async fn list(
    State(admin): State<Admin>,
    access: Access,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Json<DoorView> {
    Json(view(&admin, access))
}
