//! What can go wrong with certificates and keys in files.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file cannot be used, or a certificate not be made. Each names its file.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// The system refused to read or write a file; an existing one is as it was.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it must be; it is left as it is.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A file is there already and is not replaced.
    #[error("{} is there already; --force makes a new key and a new certificate in its place", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A name cannot stand in a certificate; nothing was made.
    #[error("{text:?} is no {expected}")]
    BadName {
        /// The text.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A certificate cannot be made; nothing was written.
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

impl CertsError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { operation, path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn refused(path: &Path, reason: impl Into<String>) -> Self {
        Self::Refused { path: path.to_owned(), reason: reason.into() }
    }

    pub(crate) fn make(error: &rcgen::Error) -> Self {
        Self::Make(error.to_string())
    }
}
