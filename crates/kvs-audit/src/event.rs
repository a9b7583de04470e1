//! What happened, as its witness tells it: an [`Event`] becomes an entry when it gets its place in the chain.

use uuid::Uuid;

/// The kinds of events. Their names are part of the format: they are never changed, only added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// A value was written.
    Put,
    /// A key was deleted.
    Delete,
    /// Owner, group or mode of a key was changed.
    Metadata,
    /// A commit that was already noted did not take place.
    CommitFailed,
    /// A user was made.
    UserCreated,
    /// A user was changed.
    UserUpdated,
    /// A user was deleted.
    UserDeleted,
    /// A group was made.
    GroupCreated,
    /// A group or its members were changed.
    GroupUpdated,
    /// A group was deleted.
    GroupDeleted,
    /// A token was minted.
    TokenIssued,
    /// A token, or all tokens of a user, were revoked.
    TokenRevoked,
    /// Somebody came with a token that is no good.
    LoginFailed,
    /// Somebody asked for what they have no right to.
    Denied,
    /// What the node was configured to do, at its start.
    Config,
    /// The node began to serve.
    Start,
    /// The node ended as asked.
    Stop,
    /// A member was admitted, left or was forgotten.
    Member,
    /// A backup was made.
    Backup,
    /// The trail was opened by a node; the trail writes this itself.
    Opened,
    /// A torn last line was cut off; the trail writes this itself.
    Recovered,
    /// The trail was found damaged when it was opened; the trail writes this itself.
    Damaged,
    /// The oldest segments are removed because of their age; the trail writes this itself.
    Retired,
    /// More events of strangers happened than are noted; the trail writes this itself.
    Suppressed,
    /// A peer's checkpoint contradicts an earlier one; the trail writes this itself.
    PeerCheckpoint,
}

impl EventKind {
    /// The name in an entry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Metadata => "metadata",
            Self::CommitFailed => "commit_failed",
            Self::UserCreated => "user_created",
            Self::UserUpdated => "user_updated",
            Self::UserDeleted => "user_deleted",
            Self::GroupCreated => "group_created",
            Self::GroupUpdated => "group_updated",
            Self::GroupDeleted => "group_deleted",
            Self::TokenIssued => "token_issued",
            Self::TokenRevoked => "token_revoked",
            Self::LoginFailed => "login_failed",
            Self::Denied => "denied",
            Self::Config => "config",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Member => "member",
            Self::Backup => "backup",
            Self::Opened => "opened",
            Self::Recovered => "recovered",
            Self::Damaged => "damaged",
            Self::Retired => "retired",
            Self::Suppressed => "suppressed",
            Self::PeerCheckpoint => "peer_checkpoint",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It was done.
    Done,
    /// It was not allowed or not possible, and why.
    Refused(&'a str),
    /// It was tried and something broke, and what.
    Failed(&'a str),
}

/// What happened. Texts longer than their bound are cut, with `…` at their end. Never put a token or a value into one.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// When, in milliseconds since 1970-01-01 UTC by the node's clock.
    pub time_ms: u64,
    /// What.
    pub kind: EventKind,
    /// The principal's name; empty for nobody.
    pub who: &'a str,
    /// The key that it is about.
    pub path: Option<&'a str>,
    /// What it is about when that is no key: a user, a group, a token's id, a peer.
    pub subject: Option<&'a str>,
    /// How it ended.
    pub outcome: Outcome<'a>,
    /// The id of the request that asked for it.
    pub request_id: Option<&'a str>,
    /// The version that was written.
    pub version: Option<Uuid>,
    /// The number that the write has among those of this node.
    pub origin_seq: Option<u64>,
    /// Whatever else an auditor wants to know.
    pub detail: Option<&'a str>,
}

impl<'a> Event<'a> {
    /// An event that ended well and of which nothing more is known.
    pub const fn new(time_ms: u64, kind: EventKind, who: &'a str) -> Self {
        Self {
            time_ms,
            kind,
            who,
            path: None,
            subject: None,
            outcome: Outcome::Done,
            request_id: None,
            version: None,
            origin_seq: None,
            detail: None,
        }
    }
}
