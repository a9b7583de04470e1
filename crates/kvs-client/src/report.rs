//! What an import did, line by line in sum: nothing that was not stored is missing from it.
//!
//! **Invariant:** every line that was read is counted exactly once among blank, expired, refused, skipped, created,
//! replaced and unsent; [`ImportReport::is_balanced`] says so and is checked at the end of every import in debug builds.

use std::time::Duration;

use serde::Serialize;

use crate::error::ClientError;
use crate::limits::REFUSALS_SHOWN_MAX;

/// A line that was not stored, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The line's number in the input, from 1.
    pub line: u64,
    /// Its key, when it got that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why, in one sentence.
    pub reason: String,
}

/// What became of an import.
#[derive(Debug, Default, Serialize)]
pub struct ImportReport {
    /// Lines read.
    pub lines: u64,
    /// Keys that did not exist before.
    pub created: u64,
    /// Keys that existed, or that an earlier line of this import wrote: the former value is in the history.
    pub replaced: u64,
    /// Lines without content.
    pub blank: u64,
    /// Lines whose time was over.
    pub expired: u64,
    /// Lines left out because an earlier line had their key (`--on-duplicate skip`).
    pub skipped: u64,
    /// Lines that could not be stored.
    pub refused: u64,
    /// Lines that were good but not sent, because it was a dry run or the import stopped.
    pub unsent: u64,
    /// Lines whose key an earlier line had, whatever was done about it.
    pub duplicate_keys: u64,
    /// Of those, the ones that got a key of their own (`--on-duplicate number`).
    pub numbered: u64,
    /// Fields of keys in which a character is written as `%XX`.
    pub escaped_fields: u64,
    /// Fields of keys that were empty or missing and became the placeholder.
    pub empty_fields: u64,
    /// Whether there were more different keys than are remembered, so that `duplicate_keys` is a lower bound.
    pub duplicates_incomplete: bool,
    /// How often the node asked to wait.
    pub pauses: u64,
    /// Bytes read from the input, as stored.
    pub bytes: u64,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "as_ms")]
    pub elapsed: Duration,
    /// The first lines that were refused, at most [`REFUSALS_SHOWN_MAX`].
    pub refusals: Vec<Refusal>,
    /// Why the import ended before the input did.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub stopped: Option<ClientError>,
}

impl ImportReport {
    /// Whether every line of the input is stored, or was meant not to be.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.stopped.is_none() && self.refused == 0
    }

    /// Whether every line is counted exactly once.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.lines
            == self.created
                + self.replaced
                + self.blank
                + self.expired
                + self.skipped
                + self.refused
                + self.unsent
    }

    /// Counts a refused line and keeps it when it is among the first.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refused += 1;
        if self.refusals.len() < REFUSALS_SHOWN_MAX {
            self.refusals.push(refusal);
        }
    }
}

fn as_ms<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

fn as_text<S: serde::Serializer>(error: &Option<ClientError>, serializer: S) -> Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.collect_str(error),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::{ImportReport, Refusal};
    use crate::limits::REFUSALS_SHOWN_MAX;

    #[test]
    fn all_refused_lines_are_counted_and_the_first_are_kept() {
        let mut report = ImportReport::default();
        for line in 1..=100 {
            report.refuse(Refusal { line, path: None, reason: "r".to_owned() });
        }
        assert_eq!((report.refused, report.refusals.len()), (100, REFUSALS_SHOWN_MAX));
        assert!(!report.is_complete());
    }

    #[test]
    fn a_line_that_is_counted_nowhere_shows() {
        let report = ImportReport { lines: 2, created: 1, ..ImportReport::default() };
        assert!(!report.is_balanced());
    }
}
