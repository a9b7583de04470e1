//! Everybody of a cluster that has met, kept once for all machines of one process.
//!
//! For simulations of large fleets: ten thousand machines that meet by themselves are a hundred million records. Machines that
//! are given a roster hold the same ones.

use std::sync::Arc;
use std::time::Duration;

use crate::call::Now;
use crate::membership::member::Status;
use crate::membership::record::{Record, Standing};
use crate::membership::registry::Registry;
use crate::membership::settings::MembershipSettings;
use crate::membership::swim::Swim;
use crate::membership::view::status;
use uuid::Uuid;

/// Everybody, alive and admitted.
#[derive(Debug)]
pub struct Roster {
    registry: Registry,
}

impl Roster {
    /// The nodes with these settings, as each knows the others when all have met.
    #[must_use]
    pub fn of(settings: &[MembershipSettings], now: Now) -> Self {
        let mut registry = Registry::default();
        for settings in settings {
            let node = settings.node;
            registry.merge(&Arc::new(Record::first(settings)), Duration::ZERO, now);
            registry.change(&node, |peer| peer.standing = Standing::Alive);
        }
        registry.take_changed();
        Self { registry }
    }
}

impl Swim {
    /// Takes everybody of a roster in as met. To be called once, after `Event::Start` was handled.
    pub fn meet(&mut self, roster: &Roster, now: Now) {
        self.now = now;
        self.registry = roster.registry.without(&self.own.node);
        let known = self
            .registry
            .peers()
            .map(|peer| foca::Member::new(peer.life(), peer.incarnation, foca::State::Alive));
        let known: Vec<_> = known.collect();
        self.meet_quietly(known);
        self.pace.found_list();
    }

    /// How a member is shown; `None` for one that is not known.
    #[must_use]
    pub fn shown(&self, node: &Uuid, now: Now) -> Option<Status> {
        self.registry.peer(node).filter(|peer| !peer.is_forgotten).map(|peer| status(peer, now))
    }

    /// The start of a member that is known here; 0 for one that is not.
    #[must_use]
    pub fn shown_generation(&self, node: &Uuid) -> u32 {
        self.registry.peer(node).map_or(0, |peer| peer.record.generation)
    }

    /// Those that are shown as failed.
    pub fn shown_failed(&self, now: Now) -> impl Iterator<Item = Uuid> {
        let failed = self.registry.peers().filter(move |peer| status(peer, now) == Status::Failed);
        failed.map(|peer| peer.record.node)
    }
}
