//! Parts of this node's log that travel by a tree: what goes out in one round, and which answers are to come.
//!
//! Above [`Tree::above`](crate::settings::Tree::above) peers this node sends in **rounds**: when the peers of a round have
//! answered, or have been waited for long enough, all that lack something are sent it at the same moment. So they go on standing at
//! the same place, and what is the same for many of them goes to a few heads, which pass it on. Without rounds each
//! peer would be sent the next part when it answers, alone, and after the first part nothing would be the same for anybody.
//!
//! **Invariant:** nothing is known of a peer by the tree that it did not answer itself: cursors and vectors are those of its own
//! answers, and whoever is not answered for is asked, and sent the log directly until it took a part of it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kvs_protocol::call::{CallFailure, CallId};
use kvs_protocol::wire::relay::{PART_BYTES_MAX, Target};
use uuid::Uuid;

use crate::branches::{Branch, branches, calls};
use crate::context::Context;
use crate::limits::{RELAY_PATIENCE, REPLICATE_TIMEOUT, ROUND_PATIENCE};
use crate::outbox::{Outbox, Purpose};
use crate::peer::Peer;
use crate::peers::Peers;

/// A part for one peer.
pub(crate) struct Part {
    pub(crate) node: Uuid,
    /// How the peer's stream knows it.
    pub(crate) call: CallId,
    /// A [`ReplicateRequest`](kvs_protocol::wire::replicate::ReplicateRequest).
    pub(crate) bytes: Bytes,
}

/// The answer to a part, as far as it came.
pub(crate) struct Answer {
    pub(crate) node: Uuid,
    pub(crate) call: CallId,
    pub(crate) result: Result<Bytes, CallFailure>,
}

/// A branch under way, and how the streams of its nodes know the part.
struct Flight {
    branch: Branch,
    parts: BTreeMap<Uuid, CallId>,
}

/// What travels by trees.
#[derive(Default)]
pub(crate) struct Trees {
    flights: BTreeMap<CallId, Flight>,
    /// The peers of the last round, and until when they are waited for.
    round: Vec<Uuid>,
    round_ends_at: Duration,
}

impl Trees {
    /// Whether a part of the log may go to this peer by others: it is tried again only after a while when that failed, and after a
    /// part that it took directly.
    pub(crate) fn may_carry(peer: &Peer, now: Duration) -> bool {
        peer.shipping_pause.is_clear() && now >= peer.relay_pause.until()
    }

    /// Until when the peers of the last round are waited for; `None` when all have answered or been waited for.
    pub(crate) fn round_ends_at(&self, peers: &Peers, now: Duration) -> Option<Duration> {
        let is_busy = |node| peers.get(node).is_some_and(|peer| peer.shipping.is_busy());
        (now < self.round_ends_at && self.round.iter().any(is_busy)).then_some(self.round_ends_at)
    }

    /// Sends the parts of a round: by branches where many are the same, directly where few are.
    pub(crate) fn send(
        &mut self,
        context: &Context,
        peers: &Peers,
        outbox: &mut Outbox,
        mut parts: Vec<Part>,
    ) {
        if parts.is_empty() {
            return;
        }
        self.round = parts.iter().map(|part| part.node).collect();
        self.round_ends_at = context.now.monotonic + ROUND_PATIENCE;
        // Each origin begins behind itself, so that not all have the same heads.
        parts.sort_unstable_by_key(|part| (part.node < context.own, part.node));
        let fan_out = context.settings.tree.fan_out;
        for group in groups(parts) {
            match group.first() {
                Some(first) if group.len() > fan_out && first.bytes.len() <= PART_BYTES_MAX => {
                    self.send_by_branches(context, peers, outbox, &group);
                }
                _ => {
                    for part in group {
                        let Some(peer) = peers.get(&part.node) else { continue };
                        outbox.call(peer, Purpose::Replicate, part.call, part.bytes, REPLICATE_TIMEOUT);
                    }
                }
            }
        }
    }

    fn send_by_branches(&mut self, context: &Context, peers: &Peers, outbox: &mut Outbox, group: &[Part]) {
        let Some(bytes) = group.first().map(|part| &part.bytes) else { return };
        let target = |part: &Part| {
            let address = peers.get(&part.node).map(|peer| peer.member.address.clone());
            Target { node: part.node, address: address.unwrap_or_default() }
        };
        let targets: Vec<Target> = group.iter().map(target).collect();
        let mut parts: BTreeMap<Uuid, CallId> = group.iter().map(|part| (part.node, part.call)).collect();
        let branches = branches(&targets, context.settings.tree.fan_out);
        let calls = calls(&branches, context.own, bytes, RELAY_PATIENCE);
        for (branch, call) in branches.into_iter().zip(calls) {
            let Some(peer) = peers.get(&call.head) else { continue };
            let number = outbox.new_call();
            outbox.call(peer, Purpose::Relay, number, call.body, call.timeout);
            let parts = branch.nodes().filter_map(|node| parts.remove_entry(&node)).collect();
            self.flights.insert(number, Flight { branch, parts });
        }
    }

    /// A call to the head of a branch ended: what each of its nodes answered.
    pub(crate) fn land(&mut self, call: CallId, result: Result<Bytes, CallFailure>) -> Vec<Answer> {
        let Some(Flight { branch, parts }) = self.flights.remove(&call) else { return Vec::new() };
        let outcomes = branch.outcomes(result).into_iter();
        let answers = outcomes.filter_map(|(node, outcome)| {
            let result = outcome.map_err(CallFailure::Unreachable);
            Some(Answer { node, call: *parts.get(&node)?, result })
        });
        answers.collect()
    }
}

/// The parts that are the same bytes, together, in their order. They are the same where they are the same piece of memory, which
/// is so for peers that stand at the same place.
fn groups(parts: Vec<Part>) -> Vec<Vec<Part>> {
    let mut places: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut groups: Vec<Vec<Part>> = Vec::new();
    for part in parts {
        let memory = (part.bytes.as_ptr().addr(), part.bytes.len());
        let place = *places.entry(memory).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(part),
            None => groups.push(vec![part]),
        }
    }
    groups
}
