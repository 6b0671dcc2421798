//! One function per call of Vitally's REST API for accounts. Calls that are safe to repeat are retried.
//!
//! Never deletes without being asked, and never overwrites an existing account with a create.

use std::time::Duration;

use backon::BackoffBuilder as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::error::VitallyError;
use super::listing::{self, Listing};
use super::pages::{ListedAccount, Page};
use super::write::{Changes, NewAccount};
use crate::accounts::answer;
use crate::accounts::http::{Answer, Call, CallSettings, Caller, ClientError};
use crate::accounts::pace::Pace;
use crate::json;
use crate::proxies::Proxies;

/// The documented calls per minute, used until an answer states another limit.
const LIMIT: u32 = 1000;
const WINDOW: Duration = Duration::from_secs(60);
const BASIC: &str = "Basic ";
/// Retries of a create or a delete whose outcome is unknown.
const MAX_RETRIES: usize = 3;

/// One workspace of Vitally. Shared behind an `Arc`.
#[derive(Debug)]
pub struct Client {
    caller: Caller,
    /// Kept to remove them from messages: the secret as it was configured, and as it is sent.
    secrets: [SecretString; 2],
}

impl Client {
    /// `base_url` ends before `/resources`. `secret` is the Secret Token or the whole Basic Auth Header.
    pub fn new(base_url: &str, secret: &SecretString, proxies: &Proxies) -> Result<Self, ClientError> {
        let mut authorization = authorization(secret.expose_secret());
        let pace = Pace::below(LIMIT, WINDOW);
        let caller = Caller::new(base_url, &authorization, pace, CallSettings::default(), proxies)?;
        let secrets = [secret.clone(), authorization.split_off(BASIC.len()).into()];
        Ok(Self { caller, secrets })
    }

    /// One page of all accounts, or of an organization's.
    pub async fn list(&self, listing: &Listing) -> Result<Page, VitallyError> {
        let answer = self.send(Call::get(listing.path()?)).await?;
        Page::read(self.json(&answer)?)
    }

    /// By Vitally's id or by the externalId.
    pub async fn get(&self, id: &str) -> Result<ListedAccount, VitallyError> {
        let answer = self.send(Call::get(listing::account(id)?)).await?;
        account(self.json(&answer)?).ok_or(VitallyError::Shape("it is not an account, an object with an id"))
    }

    /// The parts of the health score as one line of JSON: Vitally does not document their form.
    pub async fn health(&self, id: &str) -> Result<String, VitallyError> {
        let path = format!("{}/healthScores", listing::account(id)?);
        let answer = self.send(Call::get(path)).await?;
        let value = json::Value::parse(self.json(&answer)?);
        value.map(|value| value.to_string()).map_err(|_| VitallyError::Shape("it is nested too deeply"))
    }

    /// Creates an account and returns it. Looks for an existing one first: Vitally does not document whether a create would
    /// overwrite it.
    pub async fn create(&self, new: &NewAccount) -> Result<ListedAccount, VitallyError> {
        if self.find(&new.external_id).await?.is_some() {
            return Err(VitallyError::Conflict);
        }
        let (mut waits, mut may_be_there) = (waits(), false);
        loop {
            let call = call(Method::POST, "/resources/accounts".to_owned(), new, false);
            let error = match self.send(call).await {
                Ok(answer) => return self.written(&answer, &new.external_id).await,
                Err(error) => error,
            };
            may_be_there |= error.has_unknown_outcome();
            let is_refused = matches!(error, VitallyError::BadRequest { .. });
            if !is_refused && !error.has_unknown_outcome() {
                return Err(error);
            }
            let wait = waits.next().filter(|_| !is_refused);
            match (self.find(&new.external_id).await, wait) {
                (Ok(Some(found)), _) if may_be_there => return Ok(found),
                (Ok(Some(_)), _) => return Err(VitallyError::Conflict),
                (Ok(None), Some(wait)) => tokio::time::sleep(wait).await,
                _ => return Err(error),
            }
        }
    }

    /// Returns the account after the update.
    pub async fn update(&self, id: &str, changes: &Changes) -> Result<ListedAccount, VitallyError> {
        let answer = self.send(call(Method::PUT, listing::account(id)?, changes, true)).await?;
        self.written(&answer, id).await
    }

    /// Deletes the account for good, with everything that belongs to it alone.
    pub async fn delete(&self, id: &str) -> Result<(), VitallyError> {
        let path = listing::account(id)?;
        let (mut waits, mut is_retry) = (waits(), false);
        loop {
            let call =
                Call { method: Method::DELETE, path: path.clone(), body: Bytes::new(), is_idempotent: false };
            match self.send(call).await {
                Ok(_) => return Ok(()),
                // The last attempt deleted the account, but its answer was lost.
                Err(VitallyError::NotFound { .. }) if is_retry => return Ok(()),
                Err(error) if error.has_unknown_outcome() => match waits.next() {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
            is_retry = true;
        }
    }

    async fn find(&self, id: &str) -> Result<Option<ListedAccount>, VitallyError> {
        match self.get(id).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The account in the answer to a write. Vitally does not document that answer, so the account is read if it is not there.
    async fn written(&self, answer: &Answer, id: &str) -> Result<ListedAccount, VitallyError> {
        let sent = if answer.body.is_empty() { None } else { account(self.json(answer)?) };
        match sent {
            Some(listed) => Ok(listed),
            None => self.get(id).await,
        }
    }

    /// Returns an answer with 2xx; any other status is an error.
    async fn send(&self, call: Call) -> Result<Answer, VitallyError> {
        let answer = self.caller.send(call).await?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(VitallyError::of_status(&answer, |text| self.hide(text)))
    }

    /// The body of an answer, checked to be JSON.
    fn json<'a>(&self, answer: &'a Answer) -> Result<&'a str, VitallyError> {
        let text = str::from_utf8(&answer.body).ok();
        text.filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
            .ok_or_else(|| VitallyError::not_json(answer, |text| self.hide(text)))
    }

    fn hide(&self, text: &str) -> String {
        answer::redact(&self.secrets, "(the secret)", text)
    }
}

/// The waits before the retries of a create or a delete.
fn waits() -> impl Iterator<Item = Duration> {
    CallSettings::default().backoff().with_max_times(MAX_RETRIES).build()
}

/// The header for either form in which Vitally shows the secret.
fn authorization(secret: &str) -> String {
    if secret.starts_with(BASIC) {
        return secret.to_owned();
    }
    format!("{BASIC}{}", BASE64_STANDARD.encode(format!("{secret}:")))
}

fn call(method: Method, path: String, body: &impl Serialize, is_idempotent: bool) -> Call {
    // All keys are text, so this cannot fail.
    let body = serde_json::to_vec(body).unwrap_or_default().into();
    Call { method, path, body, is_idempotent }
}

fn account(text: &str) -> Option<ListedAccount> {
    ListedAccount::read(text).filter(|listed| listed.account.id.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_secret_make_the_same_header() {
        // The sample of Vitally's documentation.
        assert_eq!(authorization("secret_key"), "Basic c2VjcmV0X2tleTo=");
        assert_eq!(authorization("Basic c2VjcmV0X2tleTo="), "Basic c2VjcmV0X2tleTo=");
    }

    #[test]
    fn the_secret_is_never_shown() {
        let client = Client::new("http://127.0.0.1:1", &"secret_key".into(), &Proxies::default()).unwrap();
        assert!(!format!("{client:?}").contains("secret_key"));
        assert_eq!(
            client.hide("no secret_key, no Basic c2VjcmV0X2tleTo="),
            "no (the secret), no Basic (the secret)"
        );
    }
}
