//! What can be wrong with a configuration: always one line that says where, what, and what to change.
//!
//! Texts from the file are repeated shortened and with control characters escaped, so that an error stays one line;
//! a secret is never repeated.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::limits::{ECHO_CHARS_MAX, FILE_BYTES_MAX, NAME_BYTES_MAX};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of the file, counted from 1.
    Line {
        /// The configuration file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A variable of the environment, by its name.
    Variable(String),
    /// Nowhere: the default of the table.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { path, line } => write!(out, "{}:{line}", shown(path)),
            Self::Variable(name) => write!(out, "environment variable {name}"),
            Self::Default => out.write_str("default"),
        }
    }
}

/// Why there is no configuration. Nothing was changed on disk, except where a variant says so.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error("{}: there is no such configuration file", shown(path))]
    Missing {
        /// The file that was wanted.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("{}: cannot read the configuration: {source}", shown(path))]
    Read {
        /// The file that was wanted.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path names a folder, a pipe or a device.
    #[error("{}: expected a regular file", shown(path))]
    NotAFile {
        /// The file that was wanted.
        path: PathBuf,
    },
    /// The file is larger than [`FILE_BYTES_MAX`].
    #[error("{}: expected at most {FILE_BYTES_MAX} bytes; this is no configuration file", shown(path))]
    TooLarge {
        /// The file that was wanted.
        path: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("{}: expected UTF-8 text; this is no configuration file", shown(path))]
    NotText {
        /// The file that was wanted.
        path: PathBuf,
    },
    /// The file is not the YAML that a configuration is made of.
    #[error("{place}: {reason}")]
    Syntax {
        /// Where.
        place: Place,
        /// What was expected.
        reason: String,
    },
    /// A key that the table does not have.
    #[error("{place}: {key}: unknown key{}", suggestion(*nearest))]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key as written, shortened.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A key that stands in the file twice.
    #[error("{place}: {key}: expected each key once (it is already on line {first_line})")]
    DuplicateKey {
        /// Where the second one is.
        place: Place,
        /// The key.
        key: &'static str,
        /// The line of the first one.
        first_line: usize,
    },
    /// A value of the wrong type, shape or range.
    #[error("{place}: {key}: expected {expected} (got {got})")]
    Value {
        /// Where.
        place: Place,
        /// The key.
        key: &'static str,
        /// What the key takes.
        expected: String,
        /// What stands there, shortened; for a secret only its size.
        got: String,
    },
    /// Two keys that do not fit together.
    #[error("{place}: {key}: expected {rule}")]
    Conflict {
        /// Where one of the two was set.
        place: Place,
        /// That one.
        key: &'static str,
        /// The rule that binds the two, with their values.
        rule: String,
    },
    /// The path has no usable file name.
    #[error(
        "{}: expected the name of a configuration file: UTF-8 without control characters, at most \
             {NAME_BYTES_MAX} bytes",
        shown(path)
    )]
    Name {
        /// The path that was given.
        path: PathBuf,
    },
    /// The default file could not be written. There may be an incomplete one at this path.
    #[error("{}: cannot write the default configuration: {source}", shown(path))]
    Create {
        /// The file that was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key file of the cluster, or its folder, is not to be trusted. It was left as it is.
    #[error("{}: {reason}", shown(path))]
    KeyFile {
        /// The file or folder.
        path: PathBuf,
        /// What was expected, and what to do.
        reason: &'static str,
    },
    /// The key file of the cluster can neither be read nor made.
    #[error("{}: cannot {operation} the key file of the cluster: {source}", shown(path))]
    KeyFileIo {
        /// What was tried.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The table and the reader of this crate disagree about a key. A test shows that this does not happen.
    #[error("{key}: the table of keys is inconsistent; this is a defect of kvs")]
    Table {
        /// The key.
        key: &'static str,
    },
}

fn suggestion(nearest: Option<&'static str>) -> String {
    match nearest {
        Some(key) => format!(", did you mean \"{key}\"?"),
        None => "; the file that kvs writes by itself names all keys".to_owned(),
    }
}

/// A path for an error of one line.
fn shown(path: &Path) -> String {
    path.display().to_string().chars().flat_map(escape).collect()
}

/// A text of the file for an error of one line: shortened, control characters escaped.
pub(crate) fn echo(text: &str) -> String {
    let mut echoed: String = text.chars().take(ECHO_CHARS_MAX).flat_map(escape).collect();
    if text.chars().nth(ECHO_CHARS_MAX).is_some() {
        echoed.push_str("...");
    }
    echoed
}

fn escape(c: char) -> impl Iterator<Item = char> {
    // Line and paragraph separators are not control characters and still break lines in some viewers.
    let hidden = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let escaped = hidden.then(|| c.escape_default());
    let plain = (!hidden).then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_short_and_one_line() {
        assert_eq!(echo("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(echo("städte"), "städte");
        assert_eq!(echo(&"x".repeat(100)), format!("{}...", "x".repeat(60)));
        assert_eq!(shown(Path::new("a\nb")), "a\\nb");
    }
}
