//! A call: one authenticated request of a node to another, and how it can end.
//!
//! Every conversation is made of calls: `POST /peer/v1/{kind}` with bytes in and bytes out. Calls of different lanes
//! travel on connections of their own, so that a probe never waits behind a page of records.

use std::time::Duration;

/// Time as a state machine is told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since some moment of this process; never goes back.
    pub monotonic: Duration,
    /// Milliseconds since 1970 as this node's clock says; may jump.
    pub wall_ms: u64,
}

/// What a call asks for; the last segment of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallKind {
    /// Frames of the failure detector.
    Swim,
    /// The list of members, both ways; joining.
    Members,
    /// Where two nodes stand: vector, root, mode, clock.
    Status,
    /// Records from the sender's log.
    Replicate,
    /// Records from some node's log, and whom to pass them on to.
    Relay,
    /// One round of an anti-entropy session.
    Sync,
    /// A page of everything, for a node that begins.
    Page,
}

impl CallKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Swim, Self::Members, Self::Status, Self::Replicate, Self::Relay, Self::Sync, Self::Page];

    /// The last segment of the path.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Swim => "swim",
            Self::Members => "members",
            Self::Status => "status",
            Self::Replicate => "replicate",
            Self::Relay => "relay",
            Self::Sync => "sync",
            Self::Page => "page",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The connection that it travels on.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Self::Swim | Self::Members | Self::Status => Lane::Control,
            Self::Replicate => Lane::Stream,
            Self::Relay => Lane::Relay,
            Self::Sync | Self::Page => Lane::Repair,
        }
    }
}

/// Connections to one peer: what is urgent, what flows, what is passed on, what is big.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Probes and lists.
    Control,
    /// The log.
    Stream,
    /// Logs that travel by other nodes: such a call waits for calls of the node that it is made to, so it must not wait for
    /// its turn behind another one, or nodes that pass on each other's logs would wait for each other in a circle.
    Relay,
    /// Repair and bootstrap.
    Repair,
}

/// Numbers a node's own outgoing calls; never used twice by one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// Why a call brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// Nobody listens at the address: the process is gone. Nothing was done.
    #[error("the connection was refused")]
    Refused,
    /// No answer in time, or the connection broke: it may or may not have been done.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// The other side does not take us for a peer. Nothing was done.
    #[error("not taken for a peer: {0}")]
    Denied(String),
    /// The other side answered with an error; what was done is its affair.
    #[error("refused: {0}")]
    Rejected(String),
}

#[cfg(test)]
mod tests {
    use super::CallKind;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in CallKind::ALL {
            assert_eq!(CallKind::named(kind.name()), Some(kind));
        }
        assert_eq!(CallKind::named("SWIM"), None);
    }
}
