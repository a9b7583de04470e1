//! The exit codes, and which error ends in which.

use std::process::ExitCode;

use kvs_client::error::{ClientError, ErrorKind};
use kvs_daemon::error::DaemonError;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Done,
    /// Something was not; what and why was printed.
    Failed,
    /// The arguments cannot be right.
    Usage,
    /// There is no such node running.
    NotRunning,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotRunning => 3,
        })
    }
}

/// An error that is about the arguments.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// How the program ends after `error`.
pub(crate) fn of_error(error: &anyhow::Error) -> Exit {
    if is_closed_pipe(error) {
        return Exit::Done;
    }
    if error.is::<UsageError>() {
        return Exit::Usage;
    }
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return of_client_error(error);
    }
    match error.downcast_ref() {
        Some(DaemonError::NotRunning { .. }) => Exit::NotRunning,
        _ => Exit::Failed,
    }
}

/// How the program ends after an error of the client.
pub(crate) const fn of_client_error(error: &ClientError) -> Exit {
    match error.kind() {
        ErrorKind::NotRunning => Exit::NotRunning,
        ErrorKind::Usage => Exit::Usage,
        ErrorKind::Failed => Exit::Failed,
    }
}

/// What to do about an error, where that is always the same.
pub(crate) fn advice(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| cause.downcast_ref::<ClientError>()).and_then(ClientError::advice)
}

/// Whether the reader of our output went away, as `head` does: nothing is wrong then, and nobody listens.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::{Exit, UsageError, of_error};
    use kvs_client::error::ClientError;
    use kvs_daemon::error::DaemonError;
    use std::io;

    #[test]
    fn every_kind_of_error_has_its_exit_code() {
        let unreachable =
            ClientError::Unreachable { url: String::new(), origin: String::new(), reason: String::new() };
        assert_eq!(of_error(&unreachable.into()), Exit::NotRunning);
        assert_eq!(of_error(&DaemonError::NotRunning { name: String::new() }.into()), Exit::NotRunning);
        assert_eq!(of_error(&DaemonError::NoHome.into()), Exit::Failed);
        assert_eq!(of_error(&UsageError(String::new()).into()), Exit::Usage);
        assert_eq!(of_error(&anyhow::anyhow!("x")), Exit::Failed);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(of_error(&closed().into()), Exit::Done);
        assert_eq!(of_error(&ClientError::Write { path: "-".into(), source: closed() }.into()), Exit::Done);
    }
}
