//! The exit code of an error: 78 for the configuration, 2 for the command line, 1 for everything else.

use std::process::ExitCode;

use crate::accounts::accoil;
use crate::fault::Faults;
use crate::run::StartError;

/// The configuration lacks a section that the command needs.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has no [{section}], which this command needs: add it, with {keys}")]
pub(super) struct MissingSection {
    pub(super) section: &'static str,
    /// The required keys, and where to find their values.
    pub(super) keys: &'static str,
}

impl MissingSection {
    pub(super) const ACCOUNTS: Self = Self { section: "accounts", keys: accoil::KEYS };
    pub(super) const VITALLY: Self = Self {
        section: "vitally",
        keys: "secret (in Vitally under Settings > Integrations > Vitally REST API), and subdomain = \"NAME\", the first \
               part of the address you log in at, or region = \"eu\"",
    };
    pub(super) const DESTINATIONS: Self = Self { section: "[destinations]", keys: "name and api_key" };
}

/// The command line is invalid. The exit code is 2, as for clap's own errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

/// Whether the reader of stdout has closed it, as `head` does. This is not an error.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<UsageError>().is_some() {
        return ExitCode::from(2);
    }
    let is_configuration = error.downcast_ref::<Faults>().is_some()
        || error.downcast_ref::<MissingSection>().is_some()
        || error.downcast_ref::<StartError>().is_some_and(StartError::is_configuration);
    if is_configuration { ExitCode::from(Faults::EXIT_CODE) } else { ExitCode::FAILURE }
}
