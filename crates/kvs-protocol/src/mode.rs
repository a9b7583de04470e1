//! The modes of a node, as its clients and its peers see them.

/// Whether clients may write on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(u8)]
pub enum Mode {
    /// They may.
    #[default]
    Normal = 0,
    /// They may not, by configuration; replication goes on.
    ReadOnly = 1,
    /// They may not yet: the node fetches what its cluster holds.
    Syncing = 2,
    /// They may not until its clock is right: it is ahead of most of its peers'. Only clients are told.
    ClockAhead = 3,
    /// They may not any more: the node has left its cluster, and nobody would hear of what they write. Only clients are told.
    Left = 4,
}

impl Mode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The mode with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Normal),
            1 => Some(Self::ReadOnly),
            2 => Some(Self::Syncing),
            3 => Some(Self::ClockAhead),
            4 => Some(Self::Left),
            _ => None,
        }
    }

    /// The word that users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ReadOnly => "read-only",
            Self::Syncing => "syncing",
            Self::ClockAhead => "clock-ahead",
            Self::Left => "left",
        }
    }
}
