//! The configuration: one struct a section, read once at start.
//!
//! Four layers, the upper ones first: flags (the caller changes the [`Config`] and calls [`Config::check`]),
//! environment variables (`ACCOIL_RELAY_SERVER__LISTEN`), the file, the embedded `default.toml`, which also
//! documents every key. `${NAME}` in the file's strings takes an environment variable. Every fault is
//! reported at once, with its place and what to do. A secret never reaches a message or a log.

mod accounts;
mod destination;
mod duration;
mod environment;
mod file;
mod first;
mod outbox;
mod overlay;
mod reader;
mod rules;
mod section;
mod server;
mod show;
mod source;
mod sync;
mod tree;
mod value;

use std::path::{Path, PathBuf};

pub use accounts::{Accounts, Vitally};
pub use destination::{Destination, MrrUnit};
pub(crate) use duration::parse as parse_duration;
pub use environment::Environment;
pub use first::first_file;
pub use outbox::{Deliver, Outbox};
pub use server::{Admin, Limits, Log, LogFormat, Server};
pub use show::show;
pub use source::{Anonymous, Source, Unsigned};
pub use sync::{AccoilToVitally, VitallyToAccoil};

use reader::Reader;
use section::Section;

use crate::fault::{Fault, Faults, Place};
use crate::proxies::Proxies;

/// Every key with its unit, meaning and default; the lowest layer.
const DEFAULTS: &str = include_str!("default.toml");

/// What the relay is told to do. Every rule of [`Config::check`] holds when it comes from [`Config::load`].
#[derive(Debug, Clone)]
pub struct Config {
    /// That of the file: mappings' and secrets' paths are relative to it.
    pub directory: PathBuf,
    pub server: Server,
    pub limits: Limits,
    pub admin: Admin,
    /// May be empty: a relay that only keeps accounts in step.
    pub sources: Vec<Source>,
    /// Not empty when there is a source.
    pub destinations: Vec<Destination>,
    pub outbox: Outbox,
    pub deliver: Deliver,
    pub accounts: Option<Accounts>,
    pub vitally: Option<Vitally>,
    pub vitally_to_accoil: VitallyToAccoil,
    pub accoil_to_vitally: AccoilToVitally,
    pub log: Log,
    /// From the environment alone (`HTTPS_PROXY` and its like).
    pub proxies: Proxies,
}

impl Config {
    /// Reads `file`; else the one that `ACCOIL_RELAY_CONFIG` names; else `accoil-relay.toml` if it is there; else
    /// takes `ACCOIL_API_KEY` and `ACCOIL_RELAY_WRITE_KEY` alone. Fails with every fault that there is.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, Faults> {
        match Self::inspect(file, environment) {
            (Some(config), faults) if faults.is_empty() => Ok(config),
            (_, faults) => Err(Faults::new(faults)),
        }
    }

    /// As [`Self::load`], but returns what could be read beside the faults, with placeholders for what could not:
    /// for `check` to look at, never to run.
    pub fn inspect(file: Option<&Path>, environment: &Environment) -> (Option<Self>, Vec<Fault>) {
        let mut tree = tree::embedded(DEFAULTS);
        let source = match file::lay(&mut tree, file, environment) {
            Ok(source) => source,
            Err(fault) => {
                // One of them may be the misspelt name of the file.
                let unknown = overlay::lay(&mut tree, environment).into_iter().map(|(_, fault)| fault);
                return (None, [fault].into_iter().chain(unknown).collect());
            }
        };
        let unknown = overlay::lay(&mut tree, environment);
        let mut reader = Reader::new(environment, source);
        let mut config = Section::root(&mut reader, tree, Self::read);
        if let Some(config) = &mut config {
            config.proxies = Proxies::read(|name| environment.get(name));
        }
        let faults = reader.conclude(config.as_ref(), unknown);
        (config, faults)
    }

    /// The rules that hold between keys. `load` has checked them; call it again after a flag changed something.
    pub fn check(&self) -> Result<(), Faults> {
        let broken = rules::broken(self);
        if broken.is_empty() {
            return Ok(());
        }
        Err(Faults::new(broken.into_iter().map(|rule| rule.fault(Place::Unknown)).collect()))
    }

    /// `None` only beside a fault.
    fn read(root: &mut Section<'_, '_>) -> Option<Self> {
        let server = root.section("server", Server::read);
        let limits = root.section("limits", Limits::read);
        let admin = root.section("admin", Admin::read);
        let mut sources = root.sections("sources", Source::read);
        let destinations = root.sections("destinations", Destination::read);
        let outbox = root.section("outbox", Outbox::read);
        let deliver = root.section("deliver", Deliver::read);
        let accounts = root.section("accounts", Accounts::read);
        let vitally = root.section("vitally", Vitally::read);
        let vitally_to_accoil = root.section("vitally_to_accoil", VitallyToAccoil::read);
        let accoil_to_vitally = root.section("accoil_to_vitally", AccoilToVitally::read);
        let log = root.section("log", Log::read);
        for source in sources.iter_mut().filter(|source| source.destinations.is_empty()) {
            source.destinations = destinations.iter().map(|destination| destination.name.clone()).collect();
        }
        Some(Self {
            directory: root.directory().to_owned(),
            server: server?,
            limits: limits?,
            admin: admin?,
            sources,
            destinations,
            outbox: outbox?,
            deliver: deliver?,
            accounts,
            vitally,
            vitally_to_accoil: vitally_to_accoil?,
            accoil_to_vitally: accoil_to_vitally?,
            log: log?,
            proxies: Proxies::default(),
        })
    }
}

#[cfg(test)]
mod tests;
