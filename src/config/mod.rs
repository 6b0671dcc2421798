//! The configuration: one struct per section, read once at start.
//!
//! It has four layers, the first wins: flags (the caller changes the [`Config`] and calls [`Config::check`]), environment
//! variables (`ACCOIL_RELAY_SERVER__LISTEN`), the file, and the defaults of the table (`table.rs`). `${NAME}` in the file's
//! strings is replaced by an environment variable. All faults are reported together, each with its place and advice. A
//! secret never appears in a message or a log.

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
mod reference;
mod relay_place;
mod rules;
mod section;
mod server;
mod show;
mod source;
mod sync;
mod table;
mod value;

use std::path::{Path, PathBuf};

pub use accounts::{Accounts, Vitally};
pub use destination::{Destination, MrrUnit};
pub(crate) use duration::parse as parse_duration;
pub use environment::Environment;
pub use first::first_file;
pub use history::{History, HistoryUrl, Payloads, Privacy};
pub use outbox::{Deliver, Outbox, OutboxUrl};
pub use relay_place::RelayPlace;
pub use server::{Admin, Limits, Log, LogFormat, Server};
pub use show::show;
pub use source::{Anonymous, Source, Unsigned};
pub use sync::{AccoilToVitally, VitallyToAccoil};

use reader::Reader;
use table::{Keys as _, Table};

use crate::document::Document;
use crate::fault::{Fault, Faults, Place, SourceText};
use crate::proxies::Proxies;

/// Every section, in the order in which it is documented.
const SECTIONS: &[&Table] = &[
    Server::TABLE,
    Limits::TABLE,
    Admin::TABLE,
    Source::TABLE,
    Destination::TABLE,
    Outbox::TABLE,
    Deliver::TABLE,
    History::TABLE,
    Privacy::TABLE,
    Accounts::TABLE,
    Vitally::TABLE,
    VitallyToAccoil::TABLE,
    AccoilToVitally::TABLE,
    Log::TABLE,
];

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
        let opened = file::source(file, environment);
        let parsed = opened.as_ref().map_err(Fault::clone).and_then(Document::from_toml);
        let mut document = match parsed {
            Ok(document) => document,
            Err(fault) => {
                // One of the unknown variables may be a misspelt ACCOIL_RELAY_CONFIG.
                let nothing = SourceText::default();
                let unknown = Document::from_toml(&nothing)
                    .map(|mut empty| overlay::overlay_variables(&mut empty, environment, true));
                let unknown = unknown.into_iter().flatten().map(|(_, fault)| fault);
                return (None, [fault].into_iter().chain(unknown).collect());
            }
        };
        let path = opened.as_ref().map_or(Path::new(""), |source| source.file.as_path());
        let has_file = !path.as_os_str().is_empty();
        let directory = if has_file { path.parent().unwrap_or(path) } else { environment.directory() };
        let unknown = overlay::overlay_variables(&mut document, environment, has_file);
        reader::always().for_each(|section| document.ensure_object(section));
        let mut reader = Reader::new(environment, directory, document.root());
        let mut config = Self::read(&mut reader);
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
        match &self.history.url {
            Some(HistoryUrl::Off) => None,
            Some(HistoryUrl::At(path)) => Some(path.clone()),
            None => {
                let mut path = self.outbox.url.path.as_os_str().to_owned();
                path.push(".history");
                Some(path.into())
            }
        }
    }

    /// `None` only if there is a fault.
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (server, limits, admin) = (reader.one(), reader.one(), reader.one());
        let mut sources: Vec<Source> = reader.list();
        let destinations: Vec<Destination> = reader.list();
        let (outbox, deliver) = (reader.one(), reader.one());
        let (history, privacy) = (reader.one(), reader.one());
        let (accounts, vitally) = (reader.one(), reader.one());
        let (vitally_to_accoil, accoil_to_vitally, log) = (reader.one(), reader.one(), reader.one());
        for source in sources.iter_mut().filter(|source| source.destinations.is_empty()) {
            source.destinations = destinations.iter().map(|destination| destination.name.clone()).collect();
        }
        Some(Self {
            directory: reader.directory.to_owned(),
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
