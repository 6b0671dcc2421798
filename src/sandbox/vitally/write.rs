//! The writes: create, update and delete. Each one that is carried out is kept, to be shown.

use ::http::{Method, StatusCode};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{ATTRIBUTES, Inner, Vitally, Write, refuse, shown, unknown};
use crate::sandbox::data::ORGANIZATIONS;
use crate::sandbox::store::{Account, text};
use crate::sandbox::{Sandbox, http};

/// The attributes that a trait of the same name changes ("editable via traits").
const VIA_TRAITS: [&str; 4] = ["mrr", "nextRenewalDate", "churnedAt", "trialEndDate"];

pub(super) async fn create(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let vitally = sandbox.vitally();
    let change = match Change::read(&body) {
        Ok(change) => change,
        Err(reason) => return refuse(StatusCode::BAD_REQUEST, reason),
    };
    let external = text(&change.body, "externalId").filter(|id| !id.is_empty());
    let (Some(external), Some(_)) = (external, &change.name) else {
        return refuse(StatusCode::BAD_REQUEST, "externalId and name are required.");
    };
    let mut inner = vitally.inner();
    if inner.store.id_of(external).is_some() {
        return refuse(StatusCode::BAD_REQUEST, "An account with this externalId exists.");
    }
    let id = Uuid::new_v4().to_string();
    inner.store.set(new_account(&id, external));
    vitally.carry_out(&mut inner, &Method::POST, &id, change, body.len())
}

pub(super) async fn update(State(sandbox): State<Sandbox>, Path(id): Path<String>, body: Bytes) -> Response {
    let vitally = sandbox.vitally();
    let mut inner = vitally.inner();
    let Some(id) = inner.resolve(&id) else { return unknown() };
    match Change::read(&body) {
        Ok(change) => vitally.carry_out(&mut inner, &Method::PUT, &id, change, body.len()),
        Err(reason) => refuse(StatusCode::BAD_REQUEST, reason),
    }
}

pub(super) async fn delete(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    let vitally = sandbox.vitally();
    let mut inner = vitally.inner();
    let Some(id) = inner.resolve(&id) else { return unknown() };
    inner.store.remove(&id);
    vitally.keep(&mut inner, &Method::DELETE, &id, Value::Null, 0);
    StatusCode::NO_CONTENT.into_response()
}

impl Vitally {
    /// Changes the account, keeps the write, and answers with the changed account.
    fn carry_out(
        &self,
        inner: &mut Inner,
        method: &Method,
        id: &str,
        change: Change,
        size: usize,
    ) -> Response {
        let Some(account) = inner.store.get_mut(id) else { return unknown() };
        change.apply(account);
        let response = http::json(StatusCode::OK, &shown(account));
        self.keep(inner, method, id, Value::Object(change.body), size);
        response
    }

    fn keep(&self, inner: &mut Inner, method: &Method, id: &str, body: Value, size: usize) {
        let write = Write { method: method.to_string(), id: id.to_owned(), body, at: Utc::now() };
        inner.writes.push(write, size, self.keep);
    }
}

/// Returns an account with every attribute, most of them null, as Vitally creates it.
fn new_account(id: &str, external: &str) -> Value {
    let mut account: Account = ATTRIBUTES.into_iter().map(|name| (name.to_owned(), Value::Null)).collect();
    let known = [
        ("id", json!(id)),
        ("externalId", json!(external)),
        ("createdAt", json!(now())),
        ("traits", json!({})),
        ("usersCount", json!(0)),
        ("keyRoles", json!([])),
        ("segments", json!([])),
    ];
    account.extend(known.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(account)
}

/// The changes that a body asks for. Attributes that are not editable are ignored.
struct Change {
    body: Map<String, Value>,
    name: Option<String>,
    traits: Map<String, Value>,
    /// Null removes the account from its organization.
    organization: Option<Value>,
}

impl Change {
    fn read(body: &[u8]) -> Result<Self, &'static str> {
        let body: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| "The body is not a JSON object.")?;
        let name = match body.get("name") {
            None => None,
            Some(Value::String(name)) if !name.is_empty() => Some(name.clone()),
            Some(_) => return Err("name must be text."),
        };
        let traits = match body.get("traits") {
            None => Map::new(),
            Some(Value::Object(traits)) => traits.clone(),
            Some(_) => return Err("traits must be an object."),
        };
        let organization = match body.get("organizationId") {
            Some(Value::String(id)) => Some(json!(organization(id))),
            Some(Value::Null) => Some(Value::Null),
            None => None,
            Some(_) => return Err("organizationId must be text or null."),
        };
        Ok(Self { body, name, traits, organization })
    }

    fn apply(&self, account: &mut Account) {
        let mut put = |name: &str, value: Value| drop(account.insert(name.to_owned(), value));
        put("updatedAt", json!(now()));
        if let Some(name) = &self.name {
            put("name", json!(name));
        }
        if let Some(organization) = &self.organization {
            put("organizationId", organization.clone());
        }
        if self.body.get("accountOwnerId").is_some_and(Value::is_null) {
            put("accountOwnerId", Value::Null);
        }
        for name in VIA_TRAITS {
            if let Some(value) = self.traits.get(name) {
                put(name, value.clone());
            }
        }
        let traits = account.entry("traits").or_insert_with(|| json!({}));
        if !traits.is_object() {
            *traits = json!({});
        }
        if let Value::Object(traits) = traits {
            merge(traits, &self.traits);
        }
    }
}

/// A null removes a trait. Traits that are not named do not change.
fn merge(traits: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (name, value) in changes {
        if value.is_null() {
            traits.remove(name);
        } else {
            traits.insert(name.clone(), value.clone());
        }
    }
}

/// Returns Vitally's id of an organization that is named by its external id; any other id is returned unchanged.
fn organization(id: &str) -> &str {
    ORGANIZATIONS.iter().find(|(_, external)| *external == id).map_or(id, |(own, _)| own)
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}
