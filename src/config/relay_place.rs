//! Where the relay of a configuration can be asked: two keys, read even if the rest of the file is wrong.
//!
//! For `healthcheck`. An operator who edits the file of a running relay must not make it unhealthy by a typing error.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::outbox::sqlite_path;
use super::table::Keys as _;
use super::{Environment, Outbox, Server, file};

/// Where the relay can be asked.
#[derive(Debug, PartialEq, Eq)]
pub struct RelayPlace {
    /// The outbox, whose lock file names the admin listener.
    pub outbox: PathBuf,
    /// The public listener.
    pub listen: SocketAddr,
}

impl RelayPlace {
    /// Reads the environment, the file and the defaults. Skips each value that cannot be read. `None` if nothing can be.
    pub fn find(file: Option<&Path>, environment: &Environment) -> Option<Self> {
        let text = file::text(file, environment);
        let (table, _faults) = DeTable::parse_recoverable(&text);
        let values = |section: &str, key: &str, default: Option<&str>| {
            let variable = format!("ACCOIL_RELAY_{section}__{key}").to_uppercase();
            let of_environment = environment.get(&variable).map(str::to_owned);
            let written =
                value(table.get_ref(), section, key).or_else(|| value_in_lines(&text, section, key));
            let of_file = written.and_then(|value| environment.expand(&value, &mut BTreeSet::new()).ok());
            let default = default.map(|value| value.trim_matches('"').to_owned());
            [of_environment, of_file, default].into_iter().flatten()
        };
        let (outbox, listen) = (Outbox::TABLE.default_of("url"), Server::TABLE.default_of("listen"));
        let outbox = values("outbox", "url", outbox).find_map(|url| sqlite_path(&url).ok())?;
        let listen = values("server", "listen", listen).find_map(|address| address.parse().ok())?;
        Some(Self { outbox, listen })
    }
}

fn value(table: &DeTable<'_>, section: &str, key: &str) -> Option<String> {
    let DeValue::Table(section) = table.get(section)?.get_ref() else { return None };
    text(section, key)
}

fn text(table: &DeTable<'_>, key: &str) -> Option<String> {
    table.get(key)?.get_ref().as_str().map(str::to_owned)
}

/// The value in a line of the section. The parser may skip everything behind a broken line.
fn value_in_lines(file: &str, section: &str, key: &str) -> Option<String> {
    let header = format!("[{section}]");
    let lines = file.lines().map(str::trim).skip_while(|line| !line.starts_with(&header)).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| text(DeTable::parse_recoverable(line).0.get_ref(), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_found_in_a_faulty_file() {
        let folder = tempfile::tempdir().unwrap();
        for (text, variables, outbox, listen) in [
            ("", &[][..], "relay.db", "127.0.0.1:8080"),
            ("[outbox]\nurl = 'sqlite:/a/b.db'\nsurl = 1\n[servers]", &[], "/a/b.db", "127.0.0.1:8080"),
            ("[[sources]\nname = \n[server]\nlisten = '0.0.0.0:9'\n", &[], "relay.db", "0.0.0.0:9"),
            ("[outbox]\nurl = 'sqlite:${P}'\n", &[("P", "/p.db")], "/p.db", "127.0.0.1:8080"),
            ("[outbox]\nurl = 'sqlite:${Q}'\n[server]\nlisten = 'here'", &[], "relay.db", "127.0.0.1:8080"),
            ("server = 3", &[("ACCOIL_RELAY_SERVER__LISTEN", "[::1]:7")], "relay.db", "[::1]:7"),
            ("\u{0}", &[("ACCOIL_RELAY_OUTBOX__URL", "sqlite:e.db")], "e.db", "127.0.0.1:8080"),
        ] {
            std::fs::write(folder.path().join(file::FILE), text).unwrap();
            let environment = Environment::new(folder.path(), variables.iter().copied());
            let found = RelayPlace::find(None, &environment).unwrap();
            assert_eq!((found.outbox.to_str(), &*found.listen.to_string()), (Some(outbox), listen), "{text}");
        }
    }
}
