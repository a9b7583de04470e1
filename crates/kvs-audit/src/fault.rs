//! What is wrong with a trail, and where.

use std::fmt;

/// The kinds of faults. Their names are what programs are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A line is no entry.
    Malformed,
    /// An entry is not what was hashed, or was hashed anew.
    Edited,
    /// Entries are missing between two others.
    Removed,
    /// There is an entry too many.
    Inserted,
    /// An entry stands before one that it follows.
    Reordered,
    /// Entries are missing between two segments, or at the beginning without a signed statement about it.
    SegmentMissing,
    /// The trail is shorter than the node has signed: its end was cut off, or an older copy was put back.
    Truncated,
    /// The trail is another one than the node has signed: it was written or hashed anew.
    Forked,
    /// Checkpoints are signed with another key than before.
    KeyChanged,
    /// A file of signed statements is not one.
    BadCheckpoints,
}

impl FaultKind {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Edited => "edited",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::SegmentMissing => "segment_missing",
            Self::Truncated => "truncated",
            Self::Forked => "forked",
            Self::KeyChanged => "key_changed",
            Self::BadCheckpoints => "bad_checkpoints",
        }
    }
}

/// A place in a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// The line in it; the first line has 1.
    pub line: u64,
    /// The number that the entry there has, or should have; `None` in a file of checkpoints.
    pub seq: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} line {}", self.file, self.line)?;
        self.seq.map_or(Ok(()), |seq| write!(out, " (entry {seq})"))
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind it is.
    pub kind: FaultKind,
    /// Where, if it has a place.
    pub place: Option<Place>,
    /// What, in words.
    pub what: String,
}

impl Fault {
    /// A fault at a place.
    pub(crate) fn at(kind: FaultKind, place: Place, what: impl Into<String>) -> Self {
        Self { kind, place: Some(place), what: what.into() }
    }

    /// A fault of the whole.
    pub(crate) fn of(kind: FaultKind, what: impl Into<String>) -> Self {
        Self { kind, place: None, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(out, "{place}: {}: {}", self.kind.name(), self.what),
            None => write!(out, "{}: {}", self.kind.name(), self.what),
        }
    }
}
