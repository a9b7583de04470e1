//! What an exchange is: with whom, why, and what it carries.

use uuid::Uuid;

use crate::membership::sums::Sums;

/// Whom an exchange goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The seed at this place of the settings.
    Seed(usize),
    /// A known member.
    Node(Uuid),
}

/// What one side of an exchange carries beside its hash and its own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carried {
    /// Nothing.
    Hash,
    /// The rows of these members.
    Rows(Vec<Uuid>),
    /// Its whole list.
    List,
    /// The sums of its list.
    Sums,
    /// The rows of the parts whose sums are not these, and its own sums.
    Part(Sums),
    /// When everyone was seen last.
    Ages,
}

/// What the caller of an exchange asks for beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asks {
    /// To be admitted.
    pub(crate) admission: bool,
    /// The whole list, where it differs.
    pub(crate) list: bool,
}

/// Why an exchange is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A change is told on.
    Rumor,
    /// The lists are known to differ.
    Unequal,
    /// It is time for a full exchange.
    Gossip,
    /// The target was not reached before.
    Reprobe,
    /// To be admitted.
    Admission,
    /// The target's address refused a connection.
    Reconnect,
    /// Another node asks whether the target refuses.
    Check { reply_to: u64 },
    /// An older member has this node's name.
    OwnName,
    /// This node leaves.
    Goodbye,
}
