//! `GET /v1/accounts`: makes one call per account and classifies the answer. Reads only.

use std::slice;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::account::Account;
use super::error::GetError;
use super::query::Query;
use crate::accounts::answer;
use crate::accounts::http::{self, Answer, Call, CallSettings, Caller, ClientError};
use crate::accounts::pace::Pace;
use crate::json;
use crate::proxies::Proxies;

/// Accoil's read API with one workspace's token. Shared behind an `Arc`.
#[derive(Debug)]
pub struct Client {
    caller: Caller,
    /// Kept to remove it from messages.
    token: SecretString,
    workspace_id: String,
}

/// An account that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchedAccount {
    pub account: Account,
    /// The JSON object that Accoil sent, on one line; order and unknown fields are kept.
    pub body: String,
}

impl Client {
    /// `workspace_id` is the default for queries without one.
    pub fn new(
        base_url: &str,
        token: &SecretString,
        workspace_id: &str,
        proxies: &Proxies,
    ) -> Result<Self, ClientError> {
        let authorization = format!("Bearer {}", token.expose_secret());
        // Accoil publishes no rate limit.
        let caller =
            Caller::new(base_url, &authorization, Pace::default(), CallSettings::default(), proxies)?;
        Ok(Self { caller, token: token.clone(), workspace_id: workspace_id.to_owned() })
    }

    /// For a command that a person waits for: fails if a retry or a pause would take longer.
    #[must_use]
    pub fn with_max_wait(mut self, max_wait: Duration) -> Self {
        self.caller = self.caller.with_max_wait(max_wait);
        self
    }

    pub fn workspace_id(&self) -> &str {
        &self.workspace_id
    }

    /// Reads the account that the query names. The caller must check that Accoil matched the account that was meant. Waits as
    /// long as Accoil asks, and retries failures that may be temporary.
    pub async fn get(&self, query: &Query) -> Result<FetchedAccount, GetError> {
        let lookup = query.lookup.as_ref().ok_or(GetError::MissingLookup)?;
        let path = query.path(lookup, &self.workspace_id)?;
        let answer = self.caller.send(Call::get(path)).await?;
        read(&answer, |text| self.hide(text))
    }

    /// Makes a call, and retries it where that is safe.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, GetError> {
        Ok(self.caller.send(call).await?)
    }

    /// The JSON of an answer with 2xx.
    pub(super) fn json(&self, answer: &Answer) -> Result<Value, GetError> {
        let (status, hide) = (answer.status, |text: &str| self.hide(text));
        let sent = serde_json::from_slice(&answer.body);
        match sent {
            Ok(sent) if (200..300).contains(&status) => Ok(sent),
            Ok(sent) => Err(GetError::from_object(status, &sent, http::retry_after(answer))),
            Err(_) if matches!(status, 401 | 403 | 429) => {
                Err(GetError::from_object(status, &Value::Null, http::retry_after(answer)))
            }
            Err(error) => Err(GetError::not_json(status, error.to_string(), &answer.body, hide)),
        }
    }

    fn hide(&self, text: &str) -> String {
        answer::redact(slice::from_ref(&self.token), "(the token)", text)
    }
}

impl FetchedAccount {
    /// The account as Accoil sent it, with a last member `age`: the seconds since Accoil's answer. It replaces a member of the
    /// same name.
    pub fn with_age(&self, age: Duration) -> String {
        match json::Value::parse(&self.body) {
            Ok(json::Value::Object(mut account)) => {
                account.insert("age", json::Value::Number(age.as_secs().into()));
                json::Value::Object(account).to_string()
            }
            _ => self.body.clone(),
        }
    }
}

/// `hide` removes the token from messages.
fn read(answer: &Answer, hide: impl Fn(&str) -> String) -> Result<FetchedAccount, GetError> {
    let status = answer.status;
    let retry_after = http::retry_after(answer);
    let not_json = |reason: String| match status {
        // A proxy in front of the API may have answered; the status means the same.
        401 | 403 | 429 => GetError::from_object(status, &Value::Null, retry_after),
        _ => GetError::not_json(status, reason, &answer.body, &hide),
    };
    let text = str::from_utf8(&answer.body).map_err(|error| not_json(error.to_string()))?;
    let sent = json::Value::parse(text).map_err(|error| not_json(error.to_string()))?;
    // Serialized again, because the typed reader refuses duplicate keys.
    let body = sent.to_string();
    let failed = || {
        let value = serde_json::from_str(&hide(&body)).unwrap_or_default();
        GetError::from_object(status, &value, retry_after)
    };
    if !((200..300).contains(&status) && is_account(&sent)) {
        return Err(failed());
    }
    let account = serde_json::from_str(&body).map_err(|_| failed())?;
    Ok(FetchedAccount { account, body })
}

/// Whether the JSON is an account, and not an error with status 2xx or another server's answer.
fn is_account(sent: &json::Value<'_>) -> bool {
    let is_error = matches!(sent.get("error"), Some(json::Value::Object(_)));
    !is_error && (sent.get("id").is_some() || sent.get("metrics").is_some())
}
