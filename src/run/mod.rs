//! The composition root: builds the stages from the configuration, starts them, and stops them in order.
//!
//! Start: bind the listeners, open the outbox, start deliveries, open the history, start the admin API, then receive. Stop:
//! report not ready, accept no more connections, let running requests and the syncs finish, start no more calls and wait for
//! the answers to those in flight, close the outbox, then the admin API (so that an operator can watch the stop), then the
//! history. Events that are not delivered by the deadline stay in the outbox until the next start.

mod build;
mod descriptors;
mod error;
mod listeners;
mod recording;
mod syncing;
mod upkeep;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use build::{
    accoil_client, cluster_options, destinations, endpoint, outbox_options, source_called, sources,
};
pub use error::StartError;
pub use recording::redactor;
pub use syncing::{StandaloneSync, running_relay_admin_address};

use descriptors::Connections;
use listeners::{bind, bind_admin};
use upkeep::{count_orphaned_calls, count_waiting, keep_house, open, restore_pauses};

use crate::accoil::Destination;
use crate::accounts::accoil::Cache;
use crate::accounts::sync::Syncs;
use crate::admin::{self, Admin};
use crate::config::Config;
use crate::deliver::Target;
use crate::facts::Facts;
use crate::history::Reader;
use crate::outbox::{self, Outbox};
use crate::receive::listen::ConnectionLimits;
use crate::receive::{self, Memory, Receiver};
use crate::replay::{Importer, Jobs, PastEvents};
use crate::tasks::Tasks;
use crate::{deliver, telemetry};

/// The most open connections; further ones wait.
const ADMIN_CONNECTIONS: usize = 64;
/// The longest time that Accoil's pause may delay an admin answer.
const MAX_ADMIN_WAIT: Duration = Duration::from_secs(3);
/// The longest time for counting the waiting calls at the stop, because a long backlog is not worth the wait.
const COUNT_TIMEOUT: Duration = Duration::from_secs(1);
/// The time for running admin requests to finish after everything else has stopped.
const ADMIN_STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// The time for the history to write what it has after everything else has stopped.
const RECORDING_TIME: Duration = Duration::from_millis(500);
/// The part of the stopping time that is reserved for closing the outbox, so that it records the calls that were delivered.
const CLOSE_RESERVE: Duration = Duration::from_secs(2);
/// A running relay.
pub struct Relay {
    /// The actual address of the public listener.
    pub address: SocketAddr,
    /// The actual address of the admin listener.
    pub admin_address: SocketAddr,
    pub outbox: Outbox,
    /// The counters of received events, and the refused requests, since the start.
    pub facts: Facts,
    /// The status of each destination, in the configuration's order.
    pub destinations: Vec<watch::Receiver<deliver::Status>>,
    pub syncs: Syncs,
    /// Replays and purges.
    pub jobs: Jobs,
    /// The history: what became of every event.
    pub history: Reader,
    receiver: Receiver,
    administering: Tasks,
    receiving: Tasks,
    delivering: Tasks,
    syncing: Tasks,
    recording: Tasks,
    broken: CancellationToken,
    shutdown_timeout: Duration,
    /// Of the local files, if the outbox is in a cluster.
    _lock: Option<outbox::Lock>,
}

impl Relay {
    /// Starts everything. Calls that the last run left in the outbox are delivered first.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let destinations = destinations(config)?;
        let mut targets = build::targets(config)?;
        let connections = share_descriptors(config, &mut targets);
        let accounts =
            accoil_client(config)?.map(|client| Cache::new(Arc::new(client.with_max_wait(MAX_ADMIN_WAIT))));
        let (listener, address) = bind("server.listen", config.server.listen)?;
        let (admin_listener, admin_address) = bind_admin(config.admin.listen)?;
        let (facts, inbox) = recording::channel(config);
        let broken = CancellationToken::new();
        let (outbox, lock) = open(config, facts.clone(), &broken).await?;
        if let Some(from) = outbox.unfinished_move().await.map_err(StartError::Jobs)? {
            return Err(StartError::UnfinishedMove { from });
        }
        let syncs = syncing::setup(config).await?;

        let names = destinations.iter().map(|destination| Arc::clone(&destination.name)).collect();
        let [receiving, delivering, syncing, administering, recording] =
            [(); 5].map(|()| Tasks::new(&broken));
        delivering.spawn(
            "count of calls without a destination",
            count_orphaned_calls(outbox.clone(), names, delivering.stop_signal()),
        );
        delivering.spawn("housekeeping", keep_house(outbox.clone(), delivering.stop_signal()));
        let controls = restore_pauses(&outbox, &mut targets).await?;
        let statuses: Vec<_> =
            targets.into_iter().map(|target| deliver::start(&delivering, &outbox, &facts, target)).collect();
        let sources = sources(config, &destinations, facts.counts());
        let request_timeout = config.server.request_timeout;
        let public_url = config.server.public_url.clone();
        let limits = config.limits.clone();
        let receiver = Receiver::new(
            sources,
            outbox.clone(),
            facts.clone(),
            limits,
            request_timeout,
            public_url,
            statuses.clone(),
        );
        recording::mark_start(&facts, &receiver);
        let history = recording::start(config, inbox, receiver.clone(), &recording).await?;
        let syncs = Syncs::new(syncs, syncing.clone());
        syncs.run_on_schedule();
        let (counted, stop) = (receiver.clone(), administering.stop_signal());
        administering
            .spawn("log of refused requests", async move { counted.traffic().log_held_back(stop).await });
        let jobs = start_jobs(&outbox, &receiver, &history, config, &syncing);
        // With port 0 the system chose one: pages and the API name the real address.
        let mut config_in_force = config.clone();
        (config_in_force.server.listen, config_in_force.admin.listen) = (address, admin_address);
        let admin = Admin::new(admin::Parts {
            config: config_in_force,
            receiver: receiver.clone(),
            accounts,
            syncs: syncs.clone(),
            jobs: jobs.clone(),
            importer: importer(&outbox, &receiver, config),
            controls,
            history: history.clone(),
            redactor: redactor(config),
            started: SystemTime::now(),
        });
        let router = admin::router(admin);
        let keep_alive = config.server.keep_alive;
        let limits = |connections| ConnectionLimits { connections, keep_alive };
        // Separate memory, so that senders cannot use up what operators need.
        let memory = Memory::new(&config.limits);
        let (admins, tasks) = (limits(connections.admin), administering.clone());
        administering.spawn(
            "admin listener",
            receive::listen::serve(admin_listener, router, admins, memory, |_| {}, tasks),
        );
        let router = receive::router(receiver.clone());
        let counted = receiver.clone();
        let count = move |status| counted.traffic().count_unreadable_head(status, counted.facts());
        let (senders, memory) = (limits(connections.senders), receiver.memory());
        receiving.spawn(
            "public listener",
            receive::listen::serve(listener, router, senders, memory, count, receiving.clone()),
        );
        announce(config, &destinations, address, admin_address);
        let shutdown_timeout = config.server.shutdown_timeout;
        Ok(Self {
            address,
            admin_address,
            outbox,
            facts,
            destinations: statuses,
            syncs,
            jobs,
            history,
            receiver,
            administering,
            receiving,
            delivering,
            syncing,
            recording,
            broken,
            shutdown_timeout,
            _lock: lock,
        })
    }

    /// Reads the mapping files of every destination again and logs the result. If any file has a fault, nothing
    /// changes.
    pub async fn reload(&self) {
        let receiver = self.receiver.clone();
        // A panic there has been logged; the running mappings stay in force.
        let _ = tokio::task::spawn_blocking(move || admin::reload(&receiver)).await;
    }

    /// Returns when a task has panicked: the relay must then be stopped.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Stops in order, within `server.shutdown_timeout`. Returns true if all work ended by itself.
    pub async fn stop(self) -> bool {
        let reserve = CLOSE_RESERVE.min(self.shutdown_timeout / 4);
        // A part of the reserve is for the end of the process.
        let deadline = Instant::now() + self.shutdown_timeout.saturating_sub(reserve / 4);
        let left = || deadline.saturating_duration_since(Instant::now());
        self.receiver.stop();
        // A slow sender must not use up the time of the calls in flight.
        let most = left().saturating_sub(self.shutdown_timeout / 3);
        // A sync finishes the calls that it has begun and leaves the rest to its next run.
        let (received, _) = tokio::join!(self.receiving.stop(most), self.syncing.stop(most));
        let delivered = self.delivering.stop(left().saturating_sub(reserve)).await;
        let waiting = timeout(COUNT_TIMEOUT.min(left() / 2), count_waiting(&self.outbox)).await;
        let closed = timeout(left(), self.outbox.close()).await.is_ok();
        recording::mark_stop(&self.facts);
        let (_, recorded) = tokio::join!(
            self.administering.stop(left().min(ADMIN_STOP_TIMEOUT)),
            self.recording.stop(left().max(RECORDING_TIME)),
        );
        if !recorded {
            tracing::warn!("the history could not be written in time: its last seconds are missing");
        }
        let is_complete = received && delivered && closed;
        telemetry::stopped(is_complete, waiting.ok().flatten());
        is_complete
    }
}

/// Logs what started, and writes into the lock file where commands find this relay.
fn announce(
    config: &Config,
    destinations: &[Arc<Destination>],
    address: SocketAddr,
    admin_address: SocketAddr,
) {
    for destination in destinations {
        telemetry::mapping_warnings(&destination.mappings.warnings);
    }
    if let Err(error) = outbox::announce(&config.outbox.url.path, admin_address) {
        tracing::warn!(error.message = %error, "commands cannot find this relay: its lock file cannot be written");
    }
    telemetry::started(address, admin_address, &config.outbox.url.shown());
    config.sources.iter().for_each(|source| telemetry::source(&source.name, source.kind, address));
    for (section, destination) in config.destinations.iter().zip(destinations) {
        telemetry::destination(section, destination.mappings.iter().len());
    }
}

/// Creates the importer of old events.
fn importer(outbox: &Outbox, receiver: &Receiver, config: &Config) -> Importer {
    let (sources, ids) = (receiver.clone(), receiver.clone());
    let ids = move |received_at, events| ids.reserve_ids(received_at, events);
    Importer::new(outbox.clone(), move || sources.sources(), ids, config.limits.clone())
}

/// Creates the jobs for replays and purges, and resumes those that the last run left.
fn start_jobs(
    outbox: &Outbox,
    receiver: &Receiver,
    history: &Reader,
    config: &Config,
    tasks: &Tasks,
) -> Jobs {
    let current = receiver.clone();
    let past = PastEvents { history: history.clone(), archive: config.history.archive.clone() };
    let limits = config.limits.clone();
    let jobs = Jobs::new(outbox.clone(), past, move || current.sources(), limits, tasks.clone());
    let left = jobs.clone();
    tasks.spawn("jobs of the last run", async move {
        if let Err(error) = left.resume_all().await {
            tracing::error!(error.message = %error, "the jobs of the last run could not be read; restart the relay to resume them");
        }
    });
    jobs
}

/// Raises the limit of open files and keeps the number of all connections below it.
fn share_descriptors(config: &Config, targets: &mut [Target]) -> Connections {
    let limit = descriptors::raise();
    let wanted = Connections {
        senders: config.server.max_connections,
        deliveries: targets.iter().map(|target| target.concurrency).sum(),
        admin: ADMIN_CONNECTIONS,
    };
    let given = wanted.within(limit);
    descriptors::report(wanted, given, limit);
    for target in targets {
        target.concurrency = (target.concurrency * given.deliveries / wanted.deliveries.max(1)).max(1);
    }
    given
}
