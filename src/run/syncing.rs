//! Builds the syncs: as a part of the relay, or alone for a command when no relay runs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use super::build;
use super::error::StartError;
use crate::accoil::{self, Destination};
use crate::accounts::CallSettings;
use crate::accounts::sync::{CarriedTraits, Matching, Recipient, Setup, SyncState, Syncs};
use crate::config::{self, Config};
use crate::fault::Faults;
use crate::mapping::Mappings;
use crate::outbox;
use crate::tasks::Tasks;

/// The time for calls in flight to be answered when a command ends.
const STOP_TIMEOUT: Duration = Duration::from_secs(25);
/// A run does not retry one call for longer than this, however long the outbox would.
const MAX_RETRY_TIME: Duration = Duration::from_secs(600);

/// Builds what the syncs need. Only the outbox's owner may call this: it opens the file beside the outbox, which
/// blocks on the disk.
pub(super) async fn setup(config: &Config) -> Result<Setup, StartError> {
    let (to_accoil, to_vitally) = (&config.vitally_to_accoil, &config.accoil_to_vitally);
    let state = state(config).await?;
    let last = match &state {
        Some(state) => state.summaries().await?,
        None => Vec::new(),
    };
    Ok(Setup {
        vitally: build::vitally(config)?,
        accoil: build::accoil_client(config)?,
        state,
        last,
        recipients: recipients(config)?,
        carried: CarriedTraits {
            plan_trait: to_accoil.plan_trait.clone(),
            status_trait: to_accoil.status_trait.clone(),
            churned_status: to_accoil.churned_status.clone(),
            traits: to_accoil.traits.clone(),
            is_mrr_unit_set: to_accoil.mrr_unit.is_some(),
        },
        matching: Matching {
            kind: to_vitally.match_type.clone(),
            value: to_vitally.match_value.clone(),
            prefix: to_vitally.prefix.clone(),
            insights: to_vitally.insights,
        },
        every: [to_accoil.every, to_vitally.every],
    })
}

/// Opens the file beside the outbox, if Vitally is configured.
async fn state(config: &Config) -> Result<Option<SyncState>, StartError> {
    if config.vitally.is_none() {
        return Ok(None);
    }
    let mut path = config.outbox.url.path.as_os_str().to_owned();
    path.push(".accounts");
    let opening = tokio::task::spawn_blocking(move || SyncState::open(Path::new(&path)));
    Ok(Some(opening.await.map_err(|_| StartError::Stopped)??))
}

/// Returns the destinations that get Vitally's accounts; none if Vitally is not configured.
fn recipients(config: &Config) -> Result<Vec<Recipient>, StartError> {
    let wanted = &config.vitally_to_accoil.destinations;
    let sections = config.destinations.iter().filter(|_| config.vitally.is_some());
    sections
        .filter(|section| wanted.is_empty() || wanted.contains(&section.name))
        .map(|section| recipient(section, config))
        .collect()
}

/// Builds a recipient with the one mapping for Vitally's accounts, and the destination's own limits and retry rules.
fn recipient(section: &config::Destination, config: &Config) -> Result<Recipient, StartError> {
    let mappings = Mappings::of_vitally().map_err(|faults| StartError::Mappings(Faults::new(faults)))?;
    let unit = config.vitally_to_accoil.mrr_unit.unwrap_or(section.mrr_unit);
    let destination = Destination { money: build::money(unit), ..build::destination(section, mappings) };
    let authorization = accoil::authorization(section.api, section.api_key.expose_secret());
    let retry = &config.deliver;
    let settings = CallSettings {
        concurrency: section.concurrency,
        connect_timeout: section.connect_timeout,
        timeout: section.request_timeout,
        retry_initial: retry.retry_initial,
        retry_max: retry.retry_max,
        max_retries: retry.retry_max_attempts.saturating_sub(1),
        max_retry_time: retry.retry_max_age.min(MAX_RETRY_TIME),
    };
    let (url, rate) = (&section.base_url, section.rate);
    Recipient::new(Arc::new(destination), url, &authorization, rate, settings, &config.proxies)
        .map_err(|source| StartError::Recipient { name: section.name.clone(), source })
}

/// The syncs without a relay. Holds the outbox's lock, so that no relay starts a second run meanwhile.
pub struct StandaloneSync {
    pub syncs: Syncs,
    syncing: Tasks,
    broken: CancellationToken,
    _lock: outbox::Lock,
}

impl StandaloneSync {
    /// Fails with `OpenError::InUse` if a relay has the outbox.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let lock = outbox::lock(&config.outbox.url.path)?;
        let setup = setup(config).await?;
        let broken = CancellationToken::new();
        let syncing = Tasks::new(&broken);
        let syncs = Syncs::new(setup, syncing.clone());
        Ok(Self { syncs, syncing, broken, _lock: lock })
    }

    /// Returns when a task has panicked: no more reports will come.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Asks a run to end; it finishes the calls that it has begun.
    pub async fn stop(self) {
        self.syncing.stop(STOP_TIMEOUT).await;
    }

    /// Returns the signal that ends a run while its reports are still read.
    pub fn stop_signal(&self) -> CancellationToken {
        self.syncing.stop_signal()
    }
}

/// Returns the address of the admin API of the relay that has the outbox. `None` means that a command has it, or a
/// relay that is still starting.
pub fn running_relay_admin_address(config: &Config) -> Option<SocketAddr> {
    outbox::owner(&config.outbox.url.path)
}
