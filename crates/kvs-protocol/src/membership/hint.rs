//! A refused or closed connection is a hint that a process is gone, and is verified before anyone hears of it.
//!
//! The node connects again, twice; if both are refused, it asks one other member to try; if that one is refused too
//! (or there is no other), the member is suspected, and taken for dead a second later unless it speaks up. Only
//! refusals count: a time-out says nothing here, it is left to the probes. So a killed process is seen within a few
//! round trips, and a slow or unreachable one is never condemned faster than suspicion allows.

use std::time::Duration;

use bytes::Bytes;
use foca::State;
use uuid::Uuid;

use crate::call::{CallFailure, CallKind};
use crate::membership::alarm::Alarm;
use crate::membership::errand::{Carried, Reason, Target};
use crate::membership::hint_state::Hint;
use crate::membership::life::Life;
use crate::membership::message::{Answer, Ask, Finding};
use crate::membership::purpose::Purpose;
use crate::membership::record::Standing;
use crate::membership::registry::Peer;
use crate::membership::settings::{EXCHANGE_TIMEOUT, RECONNECT_PAUSE, SUSPICION_REFUSED};
use crate::membership::swim::Swim;

/// Most third nodes that are asked.
const THIRDS_MAX: usize = 2;

impl Swim {
    /// A connection to this node was refused or closed.
    pub(crate) fn on_hint(&mut self, node: Uuid) {
        let is_alive = self.registry.peer(&node).is_some_and(|peer| peer.is_active());
        if self.is_running() && is_alive && !self.hints.contains_key(&node) {
            self.hints.insert(node, Hint::default());
            self.reconnect(node);
        }
    }

    pub(crate) fn reconnect(&mut self, node: Uuid) {
        if self.hints.get(&node).is_some_and(|hint| !hint.is_verified) {
            self.exchange(Target::Node(node), Reason::Reconnect, Carried::Hash);
        }
    }

    /// How a reconnection ended. An answer has already taken the hint away.
    pub(crate) fn on_reconnected(&mut self, node: Uuid, failure: &CallFailure) {
        if *failure != CallFailure::Refused {
            self.hints.remove(&node);
            return;
        }
        let Some(hint) = self.hints.get_mut(&node).filter(|hint| !hint.is_verified) else { return };
        hint.refusals += 1;
        if hint.refusals < 2 {
            self.alarm_in(RECONNECT_PAUSE, Alarm::Reconnect(node));
        } else {
            self.ask_third(node);
        }
    }

    /// Asks one member that is in no doubt itself; with none, this node's own refusals decide.
    fn ask_third(&mut self, node: Uuid) {
        if !self.may_call() {
            self.hints.remove(&node);
            return;
        }
        let doubtful = |peer: &Uuid| self.hints.contains_key(peer);
        let asked = self.hints.get(&node).map(|hint| hint.asked.clone()).unwrap_or_default();
        let others: Vec<Uuid> = self
            .registry
            .active()
            .filter(|peer| peer.standing == Standing::Alive)
            .map(|peer| peer.record.node)
            .filter(|peer| *peer != node && !asked.contains(peer) && !doubtful(peer))
            .collect();
        let third = self.choose(&others);
        let address =
            third.and_then(|third| self.registry.peer(&third)).map(|peer| peer.record.address.clone());
        let (Some(third), Some(address)) = (third, address) else {
            self.begin_short_suspicion(node);
            return;
        };
        if let Some(hint) = self.hints.get_mut(&node) {
            hint.asked.push(third);
        }
        let body = Ask::Check { node }.encode();
        let purpose = Purpose::AskThird { node, third };
        self.call((Some(third), address), CallKind::Members, body, EXCHANGE_TIMEOUT, purpose);
    }

    pub(crate) fn on_third_answer(&mut self, node: Uuid, third: Uuid, result: Result<Bytes, CallFailure>) {
        if !self.is_running() {
            return;
        }
        let Some(hint) = self.hints.get(&node).filter(|hint| !hint.is_verified) else { return };
        let may_ask_more = hint.asked.len() < THIRDS_MAX;
        let finding = match result {
            Ok(body) => match Answer::decode(&body) {
                Ok(Answer::Checked(finding)) => finding,
                _ => Finding::Unclear,
            },
            Err(CallFailure::Refused) => {
                // Two died at once, as it seems: this one is verified as well, and somebody else is asked.
                self.on_hint(third);
                self.ask_third(node);
                return;
            }
            Err(_) => Finding::Unclear,
        };
        match finding {
            Finding::Refused => self.begin_short_suspicion(node),
            Finding::Unclear if may_ask_more => self.ask_third(node),
            Finding::Unclear | Finding::Answered => {
                self.hints.remove(&node);
            }
        }
    }

    /// A node was heard at its address: whoever was held for alive there before is not there any more, and is suspected unless it
    /// speaks up from elsewhere.
    pub(crate) fn doubt_displaced_by(&mut self, node: Uuid) {
        let Some(address) = self.registry.peer(&node).map(|peer| peer.record.address.clone()) else { return };
        let is_displaced = |peer: &&Peer| {
            peer.record.node != node
                && peer.record.address == address
                && peer.standing == Standing::Alive
                && peer.is_active()
        };
        let displaced: Vec<Uuid> =
            self.registry.peers().filter(is_displaced).map(|peer| peer.record.node).collect();
        for node in displaced {
            self.begin_short_suspicion(node);
        }
    }

    fn begin_short_suspicion(&mut self, node: Uuid) {
        let Some(peer) = self.registry.peer(&node).filter(|peer| peer.is_active()) else {
            self.hints.remove(&node);
            return;
        };
        self.hints.entry(node).or_default().is_verified = true;
        let (life, incarnation) = (peer.life(), peer.incarnation);
        tracing::debug!(%node, "a member is not at its address; it is suspected");
        self.declare(life, incarnation, State::Suspect);
        let since = self.now.monotonic;
        self.alarm_in(SUSPICION_REFUSED, Alarm::Condemn { life, incarnation, since });
    }

    pub(crate) fn end_short_suspicion(&mut self, life: Life, incarnation: u16, since: Duration) {
        if self.lateness.was_late_since(since) {
            // What the member said meanwhile may still wait to be heard.
            let since = self.now.monotonic + Duration::from_millis(1);
            self.alarm_in(SUSPICION_REFUSED, Alarm::Condemn { life, incarnation, since });
            return;
        }
        self.hints.remove(&life.node);
        let Some(peer) = self.registry.peer(&life.node) else { return };
        let is_suspect = peer.standing == Standing::Suspect;
        if is_suspect && peer.life() == life && peer.incarnation == incarnation {
            self.declare(life, incarnation, State::Down);
        }
    }
}
