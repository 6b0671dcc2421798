//! Finds the owner of the outbox: a running relay, which the command calls through its admin API, or else the command itself.
//!
//! The relay's address is in the outbox's lock file. Answers are capped and shown without control characters.

use std::net::SocketAddr;

use anyhow::{Context as _, anyhow, bail};
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::http_client;
use crate::outbox::{OpenError, Outbox};
use crate::plain::plain;
use crate::run;

/// Enough for a page of waiting calls or dead letters with their payloads.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// Characters shown of an error.
const MAX_SHOWN: usize = 500;

/// The process that can change the outbox.
pub(super) enum Owner {
    Relay(RelayApi),
    /// No relay is running, so this command has opened the outbox.
    Command(Outbox),
}

impl Owner {
    pub(super) async fn find(config: &Config) -> anyhow::Result<Self> {
        let options = run::outbox_options(config);
        if !options.path.exists() {
            return Err(OpenError::Missing { path: options.path }.into());
        }
        match tokio::task::spawn_blocking(move || Outbox::open(&options)).await? {
            Ok(outbox) => Ok(Self::Command(outbox)),
            Err(OpenError::InUse { path }) => match RelayApi::find(config)? {
                Some(relay) => Ok(Self::Relay(relay)),
                None => bail!(
                    "outbox {}: another command or a starting relay is using it; try again in a moment",
                    path.display()
                ),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Closes the outbox if this command has opened it.
    pub(super) async fn close(self) {
        if let Self::Command(outbox) = self {
            outbox.close().await;
        }
    }
}

/// The admin API of a running relay.
pub(super) struct RelayApi {
    address: SocketAddr,
    token: Option<SecretString>,
    client: reqwest::Client,
}

impl RelayApi {
    /// The relay that last opened the outbox. It may have been killed since then.
    pub(super) fn find(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(address) = run::running_relay_admin_address(config) else { return Ok(None) };
        let client = http_client::builder()?.no_proxy().build()?;
        Ok(Some(Self { address, token: config.admin.token.clone(), client }))
    }

    /// `None` if no relay listens at this address.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        match self.send(self.client.get(self.url(path))).await {
            Ok(response) => Ok(Some(self.read(response).await?)),
            Err(error) if error.is_connect() => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let request = self.client.post(self.url(path)).body(serde_json::to_vec(body)?);
        let response = self.send(request).await.map_err(|error| self.failed(&error))?;
        self.read(response).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> reqwest::Result<reqwest::Response> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        request.send().await
    }

    fn failed(&self, error: &reqwest::Error) -> anyhow::Error {
        let cause = http_client::root_cause(error);
        anyhow!("the relay at {} cannot be reached: {cause}", self.address)
    }

    async fn read<T: DeserializeOwned>(&self, response: reqwest::Response) -> anyhow::Result<T> {
        let status = response.status();
        let body = http_client::read_body(response, MAX_ANSWER_BYTES)
            .await
            .with_context(|| format!("the relay at {}", self.address))?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body)
                .with_context(|| format!("the relay at {} has a different version", self.address));
        }
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        match answer["error"].as_str() {
            Some(why) => bail!("the relay at {}: {}", self.address, plain(why, MAX_SHOWN)),
            None => bail!("the relay at {} answered {status}", self.address),
        }
    }
}
