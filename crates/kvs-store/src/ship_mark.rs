//! What says of a row of the log which write it stands for.

/// Which of this node's own writes a row of the log stands for: the last one of the key, whatever has replaced it since.
///
/// A peer that covers it needs nothing from the row; for any other the row is sent, as whatever record is current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShipMark {
    /// The epoch of the write.
    pub epoch: u64,
    /// Its number there.
    pub seq: u64,
}
