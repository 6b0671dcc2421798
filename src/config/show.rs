//! `config show`: prints the effective configuration as a configuration file, with its secrets hidden.
//!
//! Never reads a secret's value: it only checks whether there is one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::table::Keys;
use super::value::Word;
use super::{Config, History, HistoryUrl, duration};
use crate::event::SourceKind;
use crate::fault::LocatedText;

/// Printed in place of a secret.
pub(super) const HIDDEN: &str = "[hidden]";

/// How a type of value is shown. `None`: the key is left out.
pub(super) trait Show {
    fn show(&self) -> Option<toml::Value>;
}

/// Returns TOML with every key of every section in use, in the order of the table.
pub fn show(config: &Config) -> String {
    let mut page = String::new();
    section(&mut page, &config.server, None);
    section(&mut page, &config.limits, None);
    section(&mut page, &config.admin, None);
    config.sources.iter().for_each(|source| section(&mut page, source, Some(source.kind)));
    config.destinations.iter().for_each(|destination| section(&mut page, destination, None));
    section(&mut page, &config.outbox, None);
    section(&mut page, &config.deliver, None);
    // The file that is in use, also where the configuration leaves it to the relay.
    let url = config.history_path().map_or(HistoryUrl::Off, HistoryUrl::At);
    section(&mut page, &History { url: Some(url), ..config.history.clone() }, None);
    section(&mut page, &config.privacy, None);
    config.accounts.iter().for_each(|accounts| section(&mut page, accounts, None));
    config.vitally.iter().for_each(|vitally| section(&mut page, vitally, None));
    section(&mut page, &config.vitally_to_accoil, None);
    section(&mut page, &config.accoil_to_vitally, None);
    section(&mut page, &config.log, None);
    page
}

fn section<T: Keys>(page: &mut String, section: &T, kind: Option<SourceKind>) {
    if !page.is_empty() {
        page.push('\n');
    }
    page.extend([&T::TABLE.heading(), "\n"]);
    for (key, value) in T::TABLE.keys.iter().zip(section.values()) {
        if let Some(value) = value.filter(|_| key.only.is_none() || key.only == kind) {
            page.extend([key.name, " = ", &value.to_string(), "\n"]);
        }
    }
}

/// Doubles each dollar sign, because the file's strings are expanded.
impl Show for String {
    fn show(&self) -> Option<toml::Value> {
        Some(self.replace('$', "$$").into())
    }
}

impl Show for LocatedText {
    fn show(&self) -> Option<toml::Value> {
        self.text.show()
    }
}

impl Show for SecretString {
    fn show(&self) -> Option<toml::Value> {
        Some(HIDDEN.into())
    }
}

impl Show for PathBuf {
    fn show(&self) -> Option<toml::Value> {
        self.display().to_string().show()
    }
}

impl Show for SocketAddr {
    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Show for Duration {
    fn show(&self) -> Option<toml::Value> {
        Some(duration::print(*self).into())
    }
}

impl Show for bool {
    fn show(&self) -> Option<toml::Value> {
        Some((*self).into())
    }
}

impl Show for u64 {
    fn show(&self) -> Option<toml::Value> {
        i64::try_from(*self).ok().map(Into::into)
    }
}

impl Show for u32 {
    fn show(&self) -> Option<toml::Value> {
        Some((*self).into())
    }
}

impl Show for usize {
    fn show(&self) -> Option<toml::Value> {
        i64::try_from(*self).ok().map(Into::into)
    }
}

impl<T: Word> Show for T {
    fn show(&self) -> Option<toml::Value> {
        Self::WORDS.iter().find(|(_, one)| one == self).map(|(word, _)| (*word).into())
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> Option<toml::Value> {
        self.as_ref().and_then(Show::show)
    }
}

/// An empty list is left out: it is a fault in a file.
impl<T: Show> Show for Vec<T> {
    fn show(&self) -> Option<toml::Value> {
        let items: Vec<toml::Value> = self.iter().filter_map(Show::show).collect();
        (!items.is_empty()).then_some(toml::Value::Array(items))
    }
}
