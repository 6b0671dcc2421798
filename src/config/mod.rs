//! The configuration: one struct per section, read once at start.
//!
//! It has four layers, the first wins: flags (the caller changes the [`Config`] and calls [`Config::check`]), environment
//! variables (`ACCOIL_RELAY_SERVER__LISTEN`), the file, and the embedded `default.toml`, which also documents every key.
//! `${NAME}` in the file's strings is replaced by an environment variable. All faults are reported together, each with its
//! place and advice. A secret never appears in a message or a log.

mod accounts;
mod destination;
mod duration;
mod environment;
mod file;
mod first;
mod history;
mod outbox;
mod overlay;
mod reader;
mod relay_place;
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
pub use history::{History, HistoryFile, Payloads, Privacy};
pub use outbox::{Deliver, Outbox};
pub use relay_place::RelayPlace;
pub use server::{Admin, Limits, Log, LogFormat, Server};
pub use show::show;
pub use source::{Anonymous, Source, Unsigned};
pub use sync::{AccoilToVitally, VitallyToAccoil};

use reader::Reader;
use section::Section;

use crate::fault::{Fault, Faults, Place};
use crate::proxies::Proxies;

/// The lowest layer: every key with its unit, meaning and default.
const DEFAULTS: &str = include_str!("default.toml");

/// The whole configuration. [`Config::load`] returns it only if every rule of [`Config::check`] holds.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory of the file. The paths of mappings and secrets are relative to it.
    pub directory: PathBuf,
    pub server: Server,
    pub limits: Limits,
    pub admin: Admin,
    /// Empty for a relay that only syncs accounts.
    pub sources: Vec<Source>,
    /// Not empty if there is a source.
    pub destinations: Vec<Destination>,
    pub outbox: Outbox,
    pub deliver: Deliver,
    pub history: History,
    pub privacy: Privacy,
    pub accounts: Option<Accounts>,
    pub vitally: Option<Vitally>,
    pub vitally_to_accoil: VitallyToAccoil,
    pub accoil_to_vitally: AccoilToVitally,
    pub log: Log,
    /// Read only from the environment (`HTTPS_PROXY` and others).
    pub proxies: Proxies,
}

impl Config {
    /// Reads `file`, or else the file that `ACCOIL_RELAY_CONFIG` names, or else `accoil-relay.toml`. Without a file it uses
    /// only `ACCOIL_API_KEY` and `ACCOIL_RELAY_WRITE_KEY`. Fails with all faults.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, Faults> {
        match Self::inspect(file, environment) {
            (Some(config), faults) if faults.is_empty() => Ok(config),
            (_, faults) => Err(Faults::new(faults)),
        }
    }

    /// Like [`Self::load`], but returns the configuration together with its faults, with placeholders for unreadable values.
    /// Only for `check`: such a configuration must never run.
    pub fn inspect(file: Option<&Path>, environment: &Environment) -> (Option<Self>, Vec<Fault>) {
        let mut tree = tree::embedded(DEFAULTS);
        let source = match file::overlay_file(&mut tree, file, environment) {
            Ok(source) => source,
            Err(fault) => {
                // One of the unknown variables may be a misspelt ACCOIL_RELAY_CONFIG.
                let unknown =
                    overlay::overlay_variables(&mut tree, environment).into_iter().map(|(_, fault)| fault);
                return (None, [fault].into_iter().chain(unknown).collect());
            }
        };
        let unknown = overlay::overlay_variables(&mut tree, environment);
        let mut reader = Reader::new(environment, source);
        let mut config = Section::root(&mut reader, tree, Self::read);
        if let Some(config) = &mut config {
            config.proxies = environment.proxies();
        }
        let faults = reader.finish(config.as_ref(), unknown);
        (config, faults)
    }

    /// Checks the rules between keys. `load` has checked them; call this after a flag changed a value.
    pub fn check(&self) -> Result<(), Faults> {
        let broken = rules::broken_rules(self);
        if broken.is_empty() {
            return Ok(());
        }
        Err(Faults::new(broken.into_iter().map(|rule| rule.fault(Place::Unknown)).collect()))
    }

    /// Where the history is kept; none if it is off.
    pub fn history_path(&self) -> Option<PathBuf> {
        match &self.history.file {
            HistoryFile::Off => None,
            HistoryFile::At(path) => Some(path.clone()),
            HistoryFile::BesideOutbox => {
                let mut path = self.outbox.path.as_os_str().to_owned();
                path.push(".history");
                Some(path.into())
            }
        }
    }

    /// `None` only if there is a fault.
    fn read(root: &mut Section<'_, '_>) -> Option<Self> {
        let server = root.section("server", Server::read);
        let limits = root.section("limits", Limits::read);
        let admin = root.section("admin", Admin::read);
        let mut sources = root.sections("sources", Source::read);
        let destinations = root.sections("destinations", Destination::read);
        let outbox = root.section("outbox", Outbox::read);
        let deliver = root.section("deliver", Deliver::read);
        let history = root.section("history", History::read);
        let privacy = root.section("privacy", Privacy::read);
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
            history: history?,
            privacy: privacy?,
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
