//! The syncs put together: as a part of the relay, or alone with the outbox for a command when no relay runs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::build;
use super::error::StartError;
use crate::accoil::Destination;
use crate::accounts::sync::{self, CarriedTraits, Direction, Matching, Setup, Syncs, Written};
use crate::config::Config;
use crate::deliver;
use crate::fault::Faults;
use crate::mapping::Mappings;
use crate::outbox::{self, Outbox};
use crate::tasks::Tasks;
use crate::telemetry;

/// For calls in flight to be answered when a command ends.
const STOP: Duration = Duration::from_secs(25);

/// What the syncs are made of. Opens the file beside the outbox, which blocks on the disk: by the outbox's owner alone.
pub(super) async fn setup(config: &Config) -> Result<Setup, StartError> {
    let (to_accoil, to_vitally) = (&config.vitally_to_accoil, &config.accoil_to_vitally);
    Ok(Setup {
        vitally: build::vitally(config)?,
        accoil: build::accoil_client(config)?,
        written: written(config).await?,
        destinations: destinations(config)?,
        carried: CarriedTraits {
            plan_trait: to_accoil.plan_trait.clone(),
            status_trait: to_accoil.status_trait.clone(),
            churned_status: to_accoil.churned_status.clone(),
            traits: to_accoil.traits.clone(),
            is_unit_stated: to_accoil.mrr_unit.is_some(),
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

/// The file beside the outbox, where there is a Vitally to write to.
async fn written(config: &Config) -> Result<Option<Written>, StartError> {
    if config.vitally.is_none() {
        return Ok(None);
    }
    let mut path = config.outbox.path.as_os_str().to_owned();
    path.push(".accounts");
    let opening = tokio::task::spawn_blocking(move || Written::open(Path::new(&path)));
    Ok(Some(opening.await.map_err(|_| StartError::Stopped)??))
}

/// Settles the calls of a sync that Accoil carried out before the last owner of the outbox was killed. Before anything is
/// delivered. With several destinations nobody knows which of them it is whose accounts are read.
pub(super) async fn confirm(config: &Config, outbox: &Outbox, setup: &Setup) {
    if let (Some(client), Some(_), [destination]) = (&setup.accoil, &setup.vitally, &*config.destinations)
        && outbox.is_in_doubt()
    {
        match sync::confirm(outbox, &destination.name, client).await {
            Ok(0) => {}
            Ok(calls) => telemetry::confirmed(calls),
            // They are made once more: that is what is promised.
            Err(error) => {
                tracing::warn!(error.message = %error, "the syncs' waiting calls could not be read");
            }
        }
    }
    outbox.set_in_doubt(false);
}

/// Those that Vitally's accounts go to, with the one mapping for that.
fn destinations(config: &Config) -> Result<Vec<Arc<Destination>>, StartError> {
    let wanted = &config.vitally_to_accoil.destinations;
    let sections = config.destinations.iter();
    sections
        .filter(|section| wanted.is_empty() || wanted.contains(&section.name))
        .map(|section| {
            let mappings =
                Mappings::of_vitally().map_err(|faults| StartError::Mappings(Faults::new(faults)))?;
            let unit = config.vitally_to_accoil.mrr_unit.unwrap_or(section.mrr_unit);
            Ok(Arc::new(Destination { money: build::money(unit), ..build::destination(section, mappings) }))
        })
        .collect()
}

/// The syncs without a relay: the outbox is open, and what is in it is delivered while the accounts of Vitally go out.
pub struct SyncsAlone {
    pub syncs: Syncs,
    outbox: Outbox,
    syncing: Tasks,
    delivering: Tasks,
    broken: CancellationToken,
}

impl SyncsAlone {
    /// Takes the outbox; fails with `OpenError::InUse` where a relay has it.
    pub async fn start(config: &Config, direction: Direction, dry_run: bool) -> Result<Self, StartError> {
        let targets = build::targets(config)?;
        let outbox = super::open(build::outbox_options(config)).await?;
        let setup = setup(config).await?;
        let broken = CancellationToken::new();
        let [syncing, delivering] = [(); 2].map(|()| Tasks::new(&broken));
        let mut statuses = Vec::new();
        if direction == Direction::VitallyToAccoil && !dry_run {
            confirm(config, &outbox, &setup).await;
            statuses.extend(targets.into_iter().map(|target| deliver::start(&delivering, &outbox, target)));
        }
        let syncs = Syncs::new(setup, outbox.clone(), statuses, syncing.clone());
        Ok(Self { syncs, outbox, syncing, delivering, broken })
    }

    /// Ends when a task has panicked: nothing more is to be expected.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Tells a run to end; what it has begun is finished.
    pub async fn stop(self) {
        self.syncing.stop(STOP).await;
        if !self.delivering.stop(STOP).await {
            self.outbox.set_in_doubt(true);
        }
        self.outbox.close().await;
    }

    /// By which the run is told to end while its reports are still heard.
    pub fn stop_signal(&self) -> CancellationToken {
        self.syncing.stop_signal()
    }
}

/// Where the admin API of the relay that has the outbox is; `None`: a command has it, or a relay that is just starting.
pub fn admin_of_owner(config: &Config) -> Option<SocketAddr> {
    outbox::owner(&config.outbox.path)
}
