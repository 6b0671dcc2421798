//! Which exit code an error means: 78 for a fault of the configuration, 2 for one of the command line, else 1.

use std::process::ExitCode;

use crate::accounts::accoil;
use crate::fault::Faults;
use crate::run::StartError;

/// A command needs a section that the configuration does not have.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has no [{section}], which this needs: add it, with {keys}")]
pub(super) struct MissingSection {
    pub(super) section: &'static str,
    /// The keys it must have, and where their values come from.
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

/// The command line cannot be meant so: exit code 2, as for what clap refuses.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

/// The reader of stdout has closed it, as `head` does: nothing is wrong.
pub fn is_hung_up(error: &anyhow::Error) -> bool {
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
