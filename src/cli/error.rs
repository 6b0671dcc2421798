//! Which exit code an error means (DESIGN 4): 78 for what is to be mended in the configuration, else 1.

use std::process::ExitCode;

use crate::config::Faults;
use crate::run::StartError;

pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_configuration = error.downcast_ref::<Faults>().is_some()
        || error.downcast_ref::<StartError>().is_some_and(StartError::is_configuration);
    if is_configuration { ExitCode::from(Faults::EXIT_CODE) } else { ExitCode::FAILURE }
}
