//! What a write does to its key.

use std::time::Duration;

use kvs_core::origin::Dot;
use kvs_core::record::Record;
use kvs_core::version::Version;

use crate::compression::Content;

/// What a write does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Stores a value.
    Put {
        /// The value.
        content: Content,
        /// How long it lives from its stamp; `None` for ever.
        lifetime: Option<Duration>,
    },
    /// Deletes the key; an absent one is left as it is.
    Delete,
    /// Takes a record that another node stamped: parks it when it is stamped too far ahead, leaves it when nothing is
    /// held for its key and the vector says that it was received.
    Merge(Box<Record>),
    /// Forgets the value if it is this version, but for its history: a peer that received it has forgotten it since.
    Drop(Version),
    /// Takes a parked record that has come into range.
    Admit(Box<Record>),
    /// Turns the value into its own tombstone if its expiry has come; forgets a placeholder whose time has come.
    Expire,
    /// Forgets the key if this write's tombstone is still its record.
    Collect(Dot),
    /// Voids the current version if it was recalled.
    Void,
    /// Lets the current record of another node wait if it is stamped too far ahead for a clock that peers confirm.
    SetAside,
}
