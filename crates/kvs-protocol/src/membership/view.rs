//! What the rest of the node is shown of the list: rows translated into members.

use crate::call::Now;
use crate::membership::member::{Member, Status};
use crate::membership::record::{Record, Standing};
use crate::membership::registry::Peer;
use crate::membership::settings::FAILED_AFTER;

/// This node as a member.
pub(crate) fn own_member(own: &Record, now: Now) -> Member {
    Member {
        node: own.node,
        generation: own.generation,
        node_id: own.node_id.clone(),
        address: own.address.clone(),
        joined_ms: own.joined_ms,
        mode: own.mode,
        status: if own.has_left { Status::Left } else { Status::Alive },
        last_seen_ms: now.wall_ms,
        is_forgotten: false,
    }
}

/// How a peer is shown: what the detector thinks, unless it said goodbye or was silent for too long.
pub(crate) fn status(peer: &Peer, now: Now) -> Status {
    match peer.standing {
        _ if peer.record.has_left => Status::Left,
        Standing::Alive if peer.age(now) < FAILED_AFTER => Status::Alive,
        Standing::Suspect if peer.age(now) < FAILED_AFTER => Status::Suspect,
        _ => Status::Failed,
    }
}

/// A peer as a member.
pub(crate) fn member(peer: &Peer, now: Now) -> Member {
    let age_ms = u64::try_from(peer.age(now).as_millis()).unwrap_or(u64::MAX);
    Member {
        node: peer.record.node,
        generation: peer.record.generation,
        node_id: peer.record.node_id.clone(),
        address: peer.record.address.clone(),
        joined_ms: peer.record.joined_ms,
        mode: peer.record.mode,
        status: status(peer, now),
        last_seen_ms: now.wall_ms.saturating_sub(age_ms),
        is_forgotten: peer.is_forgotten,
    }
}
