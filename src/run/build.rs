//! Converts the configuration's sections into what each stage needs. Only this module knows both.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::error::StartError;
use crate::accoil::{self, Destination, Money};
use crate::accounts::accoil::Client;
use crate::accounts::vitally;
use crate::config::{self, Config, MrrUnit};
use crate::decode::{Anonymous, SourceSettings};
use crate::deliver::{Control, Endpoint, Pauses, Schedule, Target};
use crate::event::{Dialect, SourceKind};
use crate::facts::Counts;
use crate::fault::Faults;
use crate::mapping::Mappings;
use crate::outbox::{self, Retention};
use crate::pipeline::{Source, Sources};
use crate::proxies::Proxies;

/// Compiles the mappings of every destination. Returns all faults of all their files together.
pub fn destinations(config: &Config) -> Result<Vec<Arc<Destination>>, StartError> {
    let mut faults = Vec::new();
    let mut destinations = Vec::new();
    for section in &config.destinations {
        match Mappings::load(&section.mappings, &config.directory) {
            Ok(mappings) => destinations.push(Arc::new(destination(section, mappings))),
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() { Ok(destinations) } else { Err(StartError::Mappings(Faults::new(faults))) }
}

pub(super) fn destination(section: &config::Destination, mappings: Mappings) -> Destination {
    Destination {
        name: Arc::from(section.name.as_str()),
        dialect: section.api,
        strict: section.strict,
        integration: section.integration_name.clone(),
        money: money(section.mrr_unit),
        mappings,
    }
}

pub(super) const fn money(unit: MrrUnit) -> Money {
    match unit {
        MrrUnit::Cents => Money::Cents,
        MrrUnit::Dollars => Money::Dollars,
    }
}

/// Builds the client of `[vitally]`.
pub(super) fn vitally(config: &Config) -> Result<Option<vitally::Client>, StartError> {
    let client =
        config.vitally.as_ref().map(|one| vitally::Client::new(&one.base_url, &one.secret, &config.proxies));
    client.transpose().map_err(|source| StartError::Api { section: "vitally", source })
}

/// Builds the client of `[accounts]`.
pub fn accoil_client(config: &Config) -> Result<Option<Client>, StartError> {
    let Some(section) = &config.accounts else { return Ok(None) };
    Client::new(&section.base_url, &section.token, &section.workspace_id, &config.proxies)
        .map(Some)
        .map_err(|source| StartError::Api { section: "accounts", source })
}

pub fn sources(config: &Config, destinations: &[Arc<Destination>], counts: &Counts) -> Sources {
    let sources = config.sources.iter().map(|section| {
        let mut source = source(section, destinations);
        source.counts = counts.source(&source.name);
        source
    });
    Sources::new(sources, destinations.to_vec())
}

/// No source has this name, or several do.
#[derive(Debug, thiserror::Error)]
pub enum UnknownSource {
    #[error("{} sources are of this kind; name one of them: {}", .0.len(), .0.join(", "))]
    Several(Vec<String>),
    #[error("no source has this name; the sources are {}", .0.join(", "))]
    None(Vec<String>),
}

/// Returns the source with this name, or the only one of this kind. If there is none of this kind, returns one with
/// default settings that sends to every destination.
pub fn source_called(
    config: &Config,
    name_or_kind: &str,
    destinations: &[Arc<Destination>],
) -> Result<Source, UnknownSource> {
    if let Some(section) = config.sources.iter().find(|section| section.name == name_or_kind) {
        return Ok(source(section, destinations));
    }
    let kinds = [SourceKind::Segment, SourceKind::Amplitude];
    let Some(kind) = kinds.into_iter().find(|kind| kind.name() == name_or_kind) else {
        let names = config.sources.iter().map(|section| section.name.clone());
        return Err(UnknownSource::None(names.chain(kinds.map(|kind| kind.name().to_owned())).collect()));
    };
    match config.sources.iter().filter(|section| section.kind == kind).collect::<Vec<_>>().as_slice() {
        [] => Ok(default_source(kind, destinations)),
        [only] => Ok(source(only, destinations)),
        several => Err(UnknownSource::Several(several.iter().map(|section| section.name.clone()).collect())),
    }
}

fn default_source(kind: SourceKind, destinations: &[Arc<Destination>]) -> Source {
    Source {
        name: Arc::from(kind.name()),
        kind,
        write_key: None,
        shared_secret: None,
        takes_unsigned: false,
        destinations: destinations.to_vec(),
        settings: SourceSettings::new(match kind {
            SourceKind::Segment => Anonymous::Reject,
            SourceKind::Amplitude => Anonymous::Skip,
        }),
        deduplication_window: std::time::Duration::ZERO,
        counts: Arc::default(),
        mappings_version: 0,
    }
}

fn source(section: &config::Source, destinations: &[Arc<Destination>]) -> Source {
    Source {
        name: Arc::from(section.name.as_str()),
        kind: section.kind,
        write_key: section.write_key.clone(),
        shared_secret: section.shared_secret.clone(),
        takes_unsigned: section.unsigned == config::Unsigned::Allow,
        destinations: destinations
            .iter()
            .filter(|destination| section.destinations.iter().any(|name| **name == *destination.name))
            .cloned()
            .collect(),
        settings: source_settings(section),
        deduplication_window: section.deduplication_window,
        counts: Arc::default(),
        mappings_version: 0,
    }
}

fn source_settings(section: &config::Source) -> SourceSettings {
    let anonymous = match section.anonymous {
        config::Anonymous::Skip => Anonymous::Skip,
        config::Anonymous::Reject => Anonymous::Reject,
    };
    let defaults = SourceSettings::new(anonymous);
    SourceSettings {
        anonymous,
        events: section.events.clone(),
        exclude_events: section.exclude_events.clone(),
        event_properties: section.event_properties.clone(),
        prefer_group_type: section.prefer_group_type.clone(),
        user_id: section.user_id.clone().unwrap_or(defaults.user_id),
    }
}

pub(super) fn targets(config: &Config) -> Result<Vec<Target>, StartError> {
    config.destinations.iter().map(|section| target(section, config)).collect()
}

fn target(section: &config::Destination, config: &Config) -> Result<Target, StartError> {
    let deliver = &config.deliver;
    Ok(Target {
        name: Arc::from(section.name.as_str()),
        endpoint: Arc::new(endpoint(section, &config.proxies)?),
        concurrency: section.concurrency,
        rate: section.rate,
        timeout: section.request_timeout,
        schedule: Schedule {
            initial: deliver.retry_initial,
            longest: deliver.retry_max,
            most_age: deliver.retry_max_age,
            most_attempts: u32::try_from(deliver.retry_max_attempts).unwrap_or(u32::MAX),
        },
        pauses: Pauses::default(),
        control: Control::default(),
    })
}

/// Returns the endpoint for the destination's calls, with its key in both of Accoil's forms.
pub fn endpoint(section: &config::Destination, proxies: &Proxies) -> Result<Endpoint, StartError> {
    let key = section.api_key.expose_secret();
    let v2 = accoil::authorization(Dialect::V2, key);
    let segment = accoil::authorization(Dialect::Segment, key);
    Endpoint::new(&section.base_url)
        .and_then(|endpoint| {
            endpoint
                .with_connect_timeout(section.connect_timeout)
                .with_proxies(proxies)?
                .with_authorization(&v2)?
                .with_authorization_at(accoil::SEGMENT_PATH, &segment)
        })
        .map_err(|source| StartError::Endpoint { name: section.name.clone(), source })
}

/// Kept beyond the longest call, so that a call that began in time ends before its lane is another's.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// The settings of the outbox in the cluster of these servers.
pub fn cluster_options(config: &Config, servers: &[String]) -> outbox::nats::Options {
    let section = &config.outbox;
    let timeouts = config.destinations.iter().map(|destination| destination.request_timeout);
    let call_timeout = timeouts.max().unwrap_or_default();
    let of_file = outbox_options(config);
    outbox::nats::Options {
        servers: servers.to_vec(),
        stream: section.stream.clone(),
        credentials: section.credentials.clone(),
        nkey: section.nkey.clone(),
        ca: section.ca.clone(),
        certificate: section.certificate.clone().zip(section.certificate_key.clone()),
        lanes: u16::try_from(section.lanes).unwrap_or(u16::MAX),
        lease: section.lease.unwrap_or(call_timeout + LEASE_MARGIN),
        call_timeout,
        deduplication_ids: of_file.deduplication_ids,
        longest_window: of_file.longest_window,
        max_bytes: of_file.max_bytes,
        dead_letters: of_file.dead_letters,
        rejects: of_file.rejects,
        moves_to: None,
    }
}

pub fn outbox_options(config: &Config) -> outbox::Options {
    let section = &config.outbox;
    outbox::Options {
        path: section.url.path.clone(),
        deduplication_ids: section.deduplication_ids,
        longest_window: config
            .sources
            .iter()
            .map(|source| source.deduplication_window)
            .max()
            .unwrap_or_default(),
        max_bytes: section.max_bytes,
        min_free_disk: section.min_free_disk,
        dead_letters: Retention { age: section.keep_dead_letters, bytes: section.max_dead_letter_bytes },
        rejects: Retention { age: section.keep_rejects, bytes: section.max_reject_bytes },
    }
}
