//! Leaving the terminal behind: what a daemon does first.

use crate::error::DaemonError;

/// Puts this process into a session of its own, so that closing the terminal or Ctrl-C there does not reach it.
///
/// The daemon calls this first thing, before it has threads that matter to the terminal.
///
/// # Errors
/// [`DaemonError::Session`] when this process already leads a group, as one that a shell started does.
pub fn detach() -> Result<(), DaemonError> {
    match rustix::process::setsid() {
        Ok(_session) => Ok(()),
        Err(error) => Err(DaemonError::Session { source: error.into() }),
    }
}
