//! Why a message is not taken for one of a peer. Its text is for whoever runs the other side.

use uuid::Uuid;

/// Why a message is not taken for one of a peer. Nothing of it was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// A first request of a peer, or a stranger.
    #[error("this resource is for the nodes of the cluster; the request carries no credential")]
    NoCredential,
    /// An `Authorization` that is none of ours.
    #[error("the Authorization is no credential of a node")]
    Malformed,
    /// Made with keys of a secret that is not accepted here.
    #[error("another cluster secret: the sender's cluster is not the one of this node")]
    OtherCluster {
        /// The node that the sender says it is; nothing proves it.
        claimed: Uuid,
    },
    /// Made for another process: this one was started later, or forgot its senders.
    #[error("the credential was made for another process; ask again with the challenge of this one")]
    OtherProcess,
    /// The MAC is not the one of this message: it was altered, made for another node, or made without the key.
    #[error("the credential is not valid for this request to this node")]
    Invalid,
    /// The number of the call was used before, or is too old to tell.
    #[error("this message was received before, or came too late")]
    Seen,
    /// The body is not the one that the credential was made for.
    #[error("the body is not the one that the credential was made for")]
    OtherBody,
}
