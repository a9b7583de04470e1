//! What peers' clocks say of this node's.

/// What peers' clocks say of this node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClockVerdict {
    /// Nobody was asked, or there is nobody.
    #[default]
    Unknown,
    /// Most of those that answered agree with it.
    Agrees,
    /// Most of those that answered do not agree with it: ages mean nothing, so nothing is collected, dropped, expired or
    /// admitted by them until it agrees again.
    Differs,
}
