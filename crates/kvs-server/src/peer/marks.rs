//! The names that calls between nodes carry on HTTP, and the bounds of their bodies.

use http::HeaderName;
use kvs_protocol::call::CallKind;

use crate::limits::{
    PEER_BULK_BYTES_MAX, PEER_MEMBERS_BYTES_MAX, PEER_RELAY_BYTES_MAX, PEER_STATUS_BYTES_MAX,
    PEER_SWIM_BYTES_MAX,
};

/// What every path of a call begins with.
pub(crate) const PEER_PREFIX: &str = "/peer/v1/";

/// On every 401: what a credential must be bound to.
pub(crate) const X_KVS_CHALLENGE: HeaderName = HeaderName::from_static("x-kvs-challenge");

/// On every reply to an authenticated call: the proof that it is the reply.
pub(crate) const X_KVS_SEAL: HeaderName = HeaderName::from_static("x-kvs-seal");

/// The path of calls of a kind.
pub(super) const fn target(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Swim => "/peer/v1/swim",
        CallKind::Members => "/peer/v1/members",
        CallKind::Status => "/peer/v1/status",
        CallKind::Replicate => "/peer/v1/replicate",
        CallKind::Relay => "/peer/v1/relay",
        CallKind::Sync => "/peer/v1/sync",
        CallKind::Page => "/peer/v1/page",
    }
}

/// Largest body of a call of a kind and of its reply, in bytes.
pub(super) const fn body_bytes_max(kind: CallKind) -> usize {
    match kind {
        CallKind::Swim => PEER_SWIM_BYTES_MAX,
        CallKind::Members => PEER_MEMBERS_BYTES_MAX,
        CallKind::Status => PEER_STATUS_BYTES_MAX,
        CallKind::Relay => PEER_RELAY_BYTES_MAX,
        CallKind::Replicate | CallKind::Sync | CallKind::Page => PEER_BULK_BYTES_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::{PEER_PREFIX, target};
    use kvs_protocol::call::CallKind;

    #[test]
    fn paths_end_in_the_names_of_their_kinds() {
        for kind in CallKind::ALL {
            assert_eq!(target(kind).strip_prefix(PEER_PREFIX), Some(kind.name()));
        }
    }
}
