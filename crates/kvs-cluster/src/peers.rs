//! The peers, as replication sees them, and what follows from all of them together.

use std::collections::btree_map::{Iter, IterMut, Values, ValuesMut};
use std::collections::{BTreeMap, BTreeSet};

use kvs_core::vector::Vector;
use kvs_protocol::membership::member::Member;
use uuid::Uuid;

use crate::peer::Peer;

/// The other members.
#[derive(Default)]
pub(crate) struct Peers {
    by_node: BTreeMap<Uuid, Peer>,
    /// This node's name, as its members list says.
    own_name: String,
    /// Whether no member can be missing here.
    is_everybody: bool,
}

impl Peers {
    /// The members are these now, `own` among them.
    pub(crate) fn update(&mut self, members: Vec<Member>, is_everybody: bool, own: Uuid) {
        self.is_everybody = is_everybody;
        if let Some(own) = members.iter().find(|member| member.node == own) {
            self.own_name.clone_from(&own.node_id);
        }
        let members: BTreeMap<Uuid, Member> = members
            .into_iter()
            .filter(|member| member.node != own)
            .map(|member| (member.node, member))
            .collect();
        self.by_node.retain(|node, _| members.contains_key(node));
        for (node, member) in members {
            self.by_node.entry(node).or_insert_with(|| Peer::new(member.clone())).become_member(member);
        }
    }

    /// Whether no other member can be missing. Until then nothing holds for "every member".
    pub(crate) const fn is_everybody(&self) -> bool {
        self.is_everybody
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_node.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_node.len()
    }

    pub(crate) fn get(&self, node: &Uuid) -> Option<&Peer> {
        self.by_node.get(node)
    }

    pub(crate) fn get_mut(&mut self, node: &Uuid) -> Option<&mut Peer> {
        self.by_node.get_mut(node)
    }

    pub(crate) fn iter(&self) -> Iter<'_, Uuid, Peer> {
        self.by_node.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> IterMut<'_, Uuid, Peer> {
        self.by_node.iter_mut()
    }

    pub(crate) fn values(&self) -> Values<'_, Uuid, Peer> {
        self.by_node.values()
    }

    pub(crate) fn values_mut(&mut self) -> ValuesMut<'_, Uuid, Peer> {
        self.by_node.values_mut()
    }

    /// Those that count where every member must have something.
    pub(crate) fn counting(&self) -> impl Iterator<Item = &Peer> + Clone {
        self.values().filter(|peer| peer.counts())
    }

    /// Whether a peer is worth calling.
    pub(crate) fn is_reachable(&self, node: &Uuid) -> bool {
        self.get(node).is_some_and(Peer::is_reachable)
    }

    /// What the peers hold whose clocks let them show it.
    pub(crate) fn copies(&self, skew_ms: u64) -> impl Iterator<Item = &Vector> + Clone {
        let shown = self.counting().filter(move |peer| peer.shows_what_it_holds(skew_ms));
        shown.map(|peer| peer.shipping.received())
    }

    /// How many other members a writer may wait for: all that live, and the dead whose names nobody that lives has. A machine
    /// that was replaced is one member, not two. `None` while somebody may be missing.
    pub(crate) fn others_by_name(&self) -> Option<u32> {
        if !self.is_everybody {
            return None;
        }
        let living = self.counting().filter(|peer| peer.is_reachable());
        let names: BTreeSet<&str> =
            living.clone().map(|peer| peer.member.node_id.as_str()).chain([self.own_name.as_str()]).collect();
        let dead =
            self.counting().filter(|peer| !peer.is_reachable()).map(|peer| peer.member.node_id.as_str());
        let missing: BTreeSet<&str> = dead.filter(|name| !names.contains(name)).collect();
        Some(u32::try_from(living.count() + missing.len()).unwrap_or(u32::MAX))
    }
}
