//! Everything that can go wrong between the program and a node, as one enum.
//!
//! A variant says which step failed and what it was working on. [`ClientError::kind`] groups them by what the caller
//! does next, and is all that the program needs for its exit code.

use std::path::PathBuf;
use std::time::Duration;

use kvs_certs::error::CertsError;
use kvs_config::duration::TtlError;
use kvs_config::error::ConfigError;
use kvs_core::path::PathError;

/// What the node said when it refused a request (`application/problem+json`, RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status, 400..=599.
    pub status: u16,
    /// The stable word for programs (`not_found`, `bad_path`, ...); empty when the answer was not the node's.
    pub code: String,
    /// One sentence for people.
    pub detail: String,
    /// In an answer to a batch: the position of the operation that failed, from 0.
    pub index: Option<usize>,
    /// How long the node asks to wait before the next attempt.
    pub retry_after: Option<Duration>,
    /// The request's id, to find it in the node's log.
    pub request_id: Option<String>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code.as_str() {
            "" => write!(f, "the server answered {}", self.status)?,
            code => write!(f, "the node answered {} {code}", self.status)?,
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

/// What the caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No node answers: start it, or name another address.
    NotRunning,
    /// The arguments cannot be right: change them.
    Usage,
    /// The node or the machine said no; the message says why.
    Failed,
}

/// Why a client command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection came up: nothing was sent.
    #[error("no node answers at {url} ({origin}): {reason}")]
    Unreachable {
        /// The address that was tried.
        url: String,
        /// Where the address comes from.
        origin: String,
        /// What the system said.
        reason: String,
    },
    /// The connection failed after the request had begun: whether it was carried out is unknown.
    #[error("the connection to {url} failed before the answer was complete: {reason}")]
    Interrupted {
        /// The address.
        url: String,
        /// What failed.
        reason: String,
    },
    /// The node answered with an error: nothing was changed by this request.
    #[error("{0}")]
    Refused(Problem),
    /// The answer is longer than the client reads.
    #[error("the answer of {url} is longer than {bytes_max} bytes")]
    AnswerTooLong {
        /// The address.
        url: String,
        /// The bound.
        bytes_max: u64,
    },
    /// The answer is a success, but not in the form of this interface.
    #[error("{url} gave an answer that is not a node's: {reason}")]
    ForeignAnswer {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address is no address of a node.
    #[error("{url:?} ({origin}) is not the address of a node: {reason}")]
    BadUrl {
        /// The text.
        url: String,
        /// Where it comes from.
        origin: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// TLS with the node came to nothing, so nothing was sent.
    #[error("the node at {url} is not trusted: {reason}")]
    Untrusted {
        /// The address.
        url: String,
        /// What is wrong, and what may help.
        reason: String,
    },
    /// The certificates that vouch for the node cannot be read.
    #[error("the certificates that vouch for the node cannot be read: {0}")]
    Certificates(#[from] CertsError),
    /// This system names no authorities, and none was named.
    #[error("this system has no certificates of authorities; name those of the node by --ca FILE or KVS_CA")]
    NoAuthorities,
    /// The token cannot be sent in a header.
    #[error("the token ({origin}) holds a character that a header cannot carry")]
    BadToken {
        /// Where it comes from.
        origin: String,
    },
    /// The configuration that should say where the node is cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A path breaks the rules of paths; nothing was sent.
    #[error("{text:?} is not a path: {source}")]
    BadPath {
        /// The path as given.
        text: String,
        /// The rule.
        source: PathError,
    },
    /// A value breaks the rules of JSON; nothing was sent.
    #[error("the value is not JSON: {reason} (a text needs its own quotes: '\"text\"')")]
    BadValue {
        /// What is wrong with it, and where.
        reason: String,
    },
    /// A value is longer than any node keeps; nothing was sent.
    #[error("the value is longer than {bytes_max} bytes")]
    ValueTooLong {
        /// The bound.
        bytes_max: u64,
    },
    /// A lifetime cannot be read; nothing was sent.
    #[error("{text:?} is not a lifetime: {source}")]
    BadTtl {
        /// The lifetime as given.
        text: String,
        /// What was expected.
        source: TtlError,
    },
    /// A key template cannot be used.
    #[error("the key template {template:?} cannot be used: {reason}")]
    BadTemplate {
        /// The template as given.
        template: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The node refused so many lines of an import that an argument must be wrong rather than the lines.
    #[error("the node refused {refusals_max} lines; the rest was not sent")]
    TooManyRefusals {
        /// The bound.
        refusals_max: u64,
    },
    /// More distinct keys than an import can compare, with a rule for duplicates that needs all of them.
    #[error(
        "more than {keys_max} different keys: repeated keys cannot be told apart any more, which the chosen \
         --on-duplicate needs; the lines before line {line} are stored, import the rest as another file"
    )]
    TooManyKeys {
        /// The bound.
        keys_max: usize,
        /// The first line that was not looked at, from 1.
        line: u64,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written; an existing file of that name is untouched.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ClientError {
    /// What the caller does about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } => ErrorKind::NotRunning,
            Self::BadUrl { .. }
            | Self::BadToken { .. }
            | Self::BadPath { .. }
            | Self::BadValue { .. }
            | Self::BadTtl { .. }
            | Self::BadTemplate { .. } => ErrorKind::Usage,
            _ => ErrorKind::Failed,
        }
    }

    /// What to do about it, where that is always the same: the token is missing, or allows too little.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self.problem().map(|problem| problem.code.as_str()) {
            Some("unauthorized") => Some(
                "the node wants a token: put one into KVS_TOKEN or a file for --token-file; on the node's machine \
                 `kvs token --config CONFIG` prints root's, and --config CONFIG sends it",
            ),
            Some("forbidden") => Some(
                "the token that was sent does not allow this: an administrator makes another with POST /auth/tokens, or \
                 `kvs token --user USER --scopes ...` on the node's machine",
            ),
            _ => None,
        }
    }

    /// What the node said, when it was the node that refused.
    #[must_use]
    pub const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientError, ErrorKind, Problem};

    fn problem(code: &str, detail: &str) -> Problem {
        Problem {
            status: 404,
            code: code.to_owned(),
            detail: detail.to_owned(),
            index: None,
            retry_after: None,
            request_id: None,
        }
    }

    #[test]
    fn a_problem_reads_as_one_line_with_status_code_and_detail() {
        assert_eq!(
            problem("not_found", "no such key").to_string(),
            "the node answered 404 not_found: no such key"
        );
        assert_eq!(problem("", "").to_string(), "the server answered 404");
    }

    #[test]
    fn a_missing_or_weak_token_comes_with_advice() {
        for (code, has_advice) in [("unauthorized", true), ("forbidden", true), ("not_found", false)] {
            assert_eq!(ClientError::Refused(problem(code, "")).advice().is_some(), has_advice, "{code}");
        }
    }

    #[test]
    fn a_missing_node_and_a_wrong_argument_have_their_own_kind() {
        let unreachable =
            ClientError::Unreachable { url: String::new(), origin: String::new(), reason: String::new() };
        assert_eq!(unreachable.kind(), ErrorKind::NotRunning);
        assert_eq!(ClientError::BadToken { origin: String::new() }.kind(), ErrorKind::Usage);
        assert_eq!(ClientError::Refused(problem("not_found", "")).kind(), ErrorKind::Failed);
    }
}
