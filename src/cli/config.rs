//! `config show`: the configuration as it is in force, its secrets hidden.

use std::io::{self, Write};

use crate::config::{Config, show};

pub fn run(config: &Config, out: &mut impl Write) -> io::Result<()> {
    out.write_all(show(config).as_bytes())
}
