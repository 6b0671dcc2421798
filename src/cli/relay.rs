//! Finds the owner of the outbox: a running relay, which the command calls through its admin API, or else the command itself.
//!
//! The relay's address is in the outbox's lock file. Answers are capped and shown without control characters.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{Config, Environment};
use crate::http_client;
use crate::outbox::{OpenError, Outbox};
use crate::plain::plain;
use crate::proxies::Proxies;
use crate::run;

/// Enough for a page of waiting calls or dead letters with their payloads.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// The token of a relay that is asked without a configuration.
const TOKEN_VARIABLE: &str = "ACCOIL_RELAY_ADMIN__TOKEN";
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
        if config.outbox.url.file().is_err() {
            // Whatever relay does it, all relays of the cluster see it.
            let relay = RelayApi::find(config)?.with_context(|| {
                format!(
                    "no relay with the outbox {} runs here: start one with `accoil-relay serve`",
                    config.outbox.url.shown()
                )
            })?;
            return Ok(Self::Relay(relay));
        }
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

/// Which relay a command asks.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Remote {
    /// The relay's admin listener, such as `http://127.0.0.1:8081` [default: the running relay with this configuration's outbox]
    #[arg(long, value_name = "URL", value_parser = base_url)]
    url: Option<String>,
}

/// Reads the address of a relay's listener, without a slash at its end.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let advice = || "write it with its scheme, such as http://127.0.0.1:8081".to_owned();
    let url = reqwest::Url::parse(text).map_err(|_| advice())?;
    let is_http = ["http", "https"].contains(&url.scheme()) && url.has_host();
    if is_http { Ok(text.trim_end_matches('/').to_owned()) } else { Err(advice()) }
}

/// Reads the number of a job.
pub(super) fn job_number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "a job has a number: `accoil-relay replay list` shows the jobs".to_owned())
}

/// Reads the number of a dead letter or reject.
pub(super) fn failure_number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| {
        "a dead letter or reject has a number: `accoil-relay dead-letters list` shows them".to_owned()
    })
}

impl Remote {
    pub(super) const fn is_given(&self) -> bool {
        self.url.is_some()
    }

    /// The relay at `--url`, or the one that has the outbox of the configuration. The token comes from the configuration, or
    /// from the environment where there is none.
    pub(super) fn connect(&self, file: Option<&Path>) -> anyhow::Result<RelayApi> {
        let environment = Environment::of_process();
        let Some(url) = &self.url else {
            let config = Config::load(file, &environment)?;
            return RelayApi::find(&config)?.with_context(|| {
                format!(
                    "no relay is running with the outbox {}: start it with `accoil-relay serve`, or name another with --url",
                    config.outbox.url.shown()
                )
            });
        };
        let token = match Config::load(file, &environment) {
            Ok(config) => config.admin.token,
            Err(faults) if file.is_some() => return Err(faults.into()),
            Err(_) => std::env::var(TOKEN_VARIABLE).ok().map(SecretString::from),
        };
        let client = http_client::builder(&environment.proxies())?.build()?;
        Ok(RelayApi { base: url.clone(), token, client })
    }
}

/// The admin API of a running relay.
pub(super) struct RelayApi {
    /// `http://127.0.0.1:8081`
    base: String,
    token: Option<SecretString>,
    client: reqwest::Client,
}

/// The relay refused the request.
#[derive(Debug, thiserror::Error)]
#[error("the relay at {base}: {}", plain(.error, MAX_SHOWN))]
pub(super) struct RelayRefusal {
    base: String,
    error: String,
    /// The whole answer.
    pub(super) answer: Value,
}

impl RelayRefusal {
    pub(super) fn code(&self) -> &str {
        self.answer["code"].as_str().unwrap_or_default()
    }
}

impl RelayApi {
    /// The relay that last opened the outbox. It may have been killed since then.
    pub(super) fn find(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(address) = run::running_relay_admin_address(config) else { return Ok(None) };
        Ok(Some(Self::at(address, config.admin.token.clone())?))
    }

    /// A relay on this machine.
    pub(super) fn at(address: SocketAddr, token: Option<SecretString>) -> anyhow::Result<Self> {
        let client = http_client::builder(&Proxies::default())?.build()?;
        Ok(Self { base: format!("http://{address}"), token, client })
    }

    /// `None` if no relay listens at this address.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        match self.send(self.client.get(self.address_of(path))).await {
            Ok(response) => Ok(Some(self.read(response).await?)),
            Err(error) if error.is_connect() => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// The answer of a relay that must be running.
    pub(super) async fn fetch(&self, path: &str) -> anyhow::Result<Value> {
        self.get(path).await?.with_context(|| self.is_missing())
    }

    /// Says that no relay listens there.
    pub(super) fn is_missing(&self) -> String {
        format!(
            "no relay listens at {}: start it with `accoil-relay serve`, or name another with --url",
            self.base
        )
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let request = self.client.post(self.address_of(path)).body(serde_json::to_vec(body)?);
        let response = self.send(request).await.map_err(|error| self.failed(&error))?;
        self.read(response).await
    }

    /// An answer without an end; the caller reads its body.
    pub(super) async fn stream(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let request = self.client.get(self.address_of(path));
        let response = self.send(request).await.map_err(|error| self.failed(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self
            .read::<Value>(response)
            .await
            .err()
            .unwrap_or_else(|| anyhow!("the relay at {} failed", self.base)))
    }

    fn address_of(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> reqwest::Result<reqwest::Response> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        request.send().await
    }

    fn failed(&self, error: &reqwest::Error) -> anyhow::Error {
        let cause = http_client::root_cause(error);
        anyhow!("the relay at {} cannot be reached: {cause}", self.base)
    }

    async fn read<T: DeserializeOwned>(&self, response: reqwest::Response) -> anyhow::Result<T> {
        let status = response.status();
        let body = http_client::read_body(response, MAX_ANSWER_BYTES)
            .await
            .with_context(|| format!("the relay at {}", self.base))?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .with_context(|| format!("the relay at {} has a different version", self.base));
        }
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let base = self.base.clone();
        match answer["error"].as_str() {
            Some(error) => Err(RelayRefusal { base, error: error.to_owned(), answer }.into()),
            None => bail!("the relay at {base} answered {status}"),
        }
    }
}

/// Returns a path with these parameters, without those that have no value.
pub(super) fn path_with(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}
