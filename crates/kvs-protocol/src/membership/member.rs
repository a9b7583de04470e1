//! A member as the rest of the node and its users see it.
//!
//! Plain values: what a state machine knows of a node, translated once, so that nobody outside reads the detector's
//! own states.

use uuid::Uuid;

use crate::mode::Mode;

/// How a member stands, as one node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// It answers.
    Alive,
    /// It did not answer, or its address refused; it may still say that it lives.
    Suspect,
    /// It is taken for dead, was not heard of for five minutes, or has not been reached since this process started.
    Failed,
    /// It said goodbye.
    Left,
}

impl Status {
    /// The word that users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Failed => "failed",
            Self::Left => "left",
        }
    }
}

/// One member of the cluster, this node included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The identity in its data directory.
    pub node: Uuid,
    /// Its start: one more with each.
    pub generation: u32,
    /// Its name.
    pub node_id: String,
    /// Where it is reached, `host:port`, in its own words.
    pub address: String,
    /// When it was admitted, in milliseconds since 1970; `JOINED_YOUNGEST_MS` before that.
    pub joined_ms: u64,
    /// Its mode.
    pub mode: Mode,
    /// How it stands.
    pub status: Status,
    /// When somebody last heard of it, in milliseconds since 1970 by this node's clock.
    pub last_seen_ms: u64,
    /// It was not heard of for so long, or an operator said so, that it no longer counts; it may only come back under
    /// a new identity.
    pub is_forgotten: bool,
}
