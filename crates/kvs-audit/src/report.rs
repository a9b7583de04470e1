//! What a look at a trail has shown.

use uuid::Uuid;

use crate::fault::Fault;
use crate::position::Position;

/// What can be said of a trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry is sound, and another node's checkpoint confirms all up to this one; those after it only follow it.
    Anchored {
        /// The last entry that is confirmed.
        up_to: u64,
    },
    /// Every entry follows the one before it, but nobody else confirms any: who holds the data directory could have
    /// written all of it.
    Unanchored,
    /// Something is wrong.
    Bad,
}

/// What a look at a trail has shown.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The node whose trail it is, if anything says so.
    pub node: Option<Uuid>,
    /// The number of the oldest entry that is there; 1 unless older ones were removed because of their age.
    pub first_seq: u64,
    /// The last sound entry; `None` when there is none.
    pub last: Option<Position>,
    /// How many sound entries were read.
    pub entries: u64,
    /// How many segments were read.
    pub segments: u64,
    /// Length of a torn last line, as a crash leaves one and a running node for a moment; 0 when there is none.
    pub torn_bytes: u64,
    /// The last entry that another node's checkpoint confirms.
    pub anchored_up_to: Option<u64>,
    /// The last entry that the node's own checkpoints confirm.
    pub own_up_to: Option<u64>,
    /// How many checkpoints of this node other nodes' files hold.
    pub peer_checkpoints: u64,
    /// How often the trail was opened after a torn line; each left an entry.
    pub recoveries: u64,
    /// How many times the trail was found damaged by the node itself; each left an entry.
    pub damages: u64,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
}

impl Report {
    /// The number of the last sound entry; 0 when there is none.
    pub fn last_seq(&self) -> u64 {
        self.last.map_or(0, |last| last.seq)
    }

    /// The number of the first entry that nobody but the node itself confirms, which may be one past the last.
    pub fn unanchored_since(&self) -> u64 {
        self.anchored_up_to.map_or(self.first_seq.max(1), |up_to| up_to.saturating_add(1))
    }

    /// What can be said of the trail.
    pub fn verdict(&self) -> Verdict {
        match (&self.fault, self.anchored_up_to) {
            (Some(_), _) => Verdict::Bad,
            (None, Some(up_to)) => Verdict::Anchored { up_to },
            (None, None) => Verdict::Unanchored,
        }
    }
}
