//! `GET /v2/users`: one user by an id, to see whether Accoil has it.
//!
//! Accoil documents that a lookup returns a list with one user or none, but not how the list is wrapped. The relay therefore
//! reads any list in the answer.

use form_urlencoded::Serializer;
use serde_json::Value;

use super::client::Client;
use super::error::GetError;
use crate::accounts::http::Call;

/// The kind of value by which a user is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserKey {
    /// The `userId` of the events.
    TrackingId,
    Email,
}

impl UserKey {
    pub const ALL: [Self; 2] = [Self::TrackingId, Self::Email];

    /// Accoil's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TrackingId => "tracking_id",
            Self::Email => "email",
        }
    }
}

impl Client {
    /// The user, if Accoil has it.
    pub async fn find_user(&self, key: UserKey, value: &str) -> Result<Option<Value>, GetError> {
        let answer = self.send(Call::get(path(self.workspace_id(), key, value))).await?;
        let sent = self.json(&answer)?;
        Ok(first_of(&sent))
    }
}

fn path(workspace_id: &str, key: UserKey, value: &str) -> String {
    let mut path = Serializer::for_suffix("/v2/users?".to_owned(), "/v2/users?".len());
    path.append_pair("workspace_id", workspace_id);
    path.append_pair("match_type", key.name());
    path.append_pair("match_value", value);
    path.finish()
}

/// The first item of the answer, or of the first list in it.
fn first_of(sent: &Value) -> Option<Value> {
    let list = match sent {
        Value::Array(list) => Some(list),
        Value::Object(object) => object.values().find_map(Value::as_array),
        _ => None,
    };
    list?.iter().find(|item| item.is_object()).cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_user_is_found_however_the_list_is_wrapped() {
        let user = json!({"id": 7, "tracking_id": "u-1"});
        for sent in [json!([user]), json!({"users": [user]}), json!({"data": [user], "total": 1})] {
            assert_eq!(first_of(&sent), Some(user.clone()), "{sent}");
        }
        for sent in [json!([]), json!({"users": []}), json!({"total": 0}), json!("users"), json!(["u-1"])] {
            assert_eq!(first_of(&sent), None, "{sent}");
        }
    }
}
