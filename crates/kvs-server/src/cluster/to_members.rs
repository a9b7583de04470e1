//! What the thread of membership is told.

use bytes::Bytes;
use kvs_protocol::call::CallKind;
use kvs_protocol::membership::contract::Event;
use tokio::sync::oneshot;
use uuid::Uuid;

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// An event for the machine.
    Event(Event),
    /// A call of a peer.
    Request {
        /// Its kind.
        kind: CallKind,
        /// What it says.
        body: Bytes,
        /// Who calls.
        from: Uuid,
        /// Where the answer goes.
        answer: oneshot::Sender<Bytes>,
    },
    /// The node at this address ended a connection.
    Closed(String),
    /// The member of this name or uuid will not come back.
    Forget(String, oneshot::Sender<Forgetting>),
    /// The node stops.
    Stop,
}

/// What became of a wish to forget a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgetting {
    /// It is forgotten.
    Done,
    /// There is no other member of this name or uuid.
    Unknown,
    /// It answers.
    Alive,
}
