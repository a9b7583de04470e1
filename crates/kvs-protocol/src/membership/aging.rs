//! What time does to members: who was silent for too long is shown otherwise, and at last forgotten; so is who was replaced.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::membership::alarm::Alarm;
use crate::membership::contract::Effect;
use crate::membership::member::Status;
use crate::membership::record::Standing;
use crate::membership::registry::Peer;
use crate::membership::settings::{AGE_PERIOD, FORGET_UPTIME_MIN};
use crate::membership::swim::Swim;
use crate::membership::view::status;

impl Swim {
    /// Members that were silent too long are forgotten; those that pass a mark are shown otherwise.
    pub(crate) fn on_age(&mut self) {
        self.alarm_in(AGE_PERIOD, Alarm::Age);
        if self.uptime() >= self.forget_after.min(FORGET_UPTIME_MIN) {
            let silent = |peer: &&Peer| !peer.is_forgotten && peer.age(self.now) >= self.forget_after;
            let nodes: Vec<Uuid> =
                self.registry.peers().filter(silent).map(|peer| peer.record.node).collect();
            for node in nodes {
                tracing::info!(%node, "a member was silent for so long that it is forgotten");
                self.forget(node);
            }
        }
        self.retire_replaced();
        self.refresh_attempts();
        self.check_own_name();
        let statuses: Vec<Status> = self.registry.peers().map(|peer| status(peer, self.now)).collect();
        if statuses != self.statuses {
            self.statuses = statuses;
            self.effects.push(Effect::MembersChanged);
        }
    }

    /// Forgets identities whose name and address another one that lives has: their directories were replaced.
    fn retire_replaced(&mut self) {
        let is_gone = |peer: &&Peer| !peer.is_active() && !peer.is_forgotten;
        let mut gone: BTreeMap<(&str, &str), Vec<Uuid>> = BTreeMap::new();
        for peer in self.registry.peers().filter(is_gone) {
            gone.entry(peer.record.place()).or_default().push(peer.record.node);
        }
        if gone.is_empty() {
            return;
        }
        let lives = self.registry.active().filter(|peer| peer.standing == Standing::Alive);
        let held = lives.map(|peer| peer.record.place()).chain([self.own.place()]);
        let replaced: Vec<Uuid> = held.filter_map(|place| gone.get(&place)).flatten().copied().collect();
        for node in replaced {
            tracing::warn!(%node, "another node has taken this one's name and address: it is forgotten");
            self.forget(node);
        }
    }

    /// Marks a node as forgotten, and takes it from the detector.
    pub(crate) fn forget(&mut self, node: Uuid) {
        let Some(peer) = self.registry.peer(&node).filter(|peer| !peer.is_forgotten) else { return };
        let life = peer.life();
        self.registry.change(&node, |peer| {
            (peer.is_forgotten, peer.standing) = (true, Standing::Down);
        });
        self.drop_from_detector(life);
    }
}
