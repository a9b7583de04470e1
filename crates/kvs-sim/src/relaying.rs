//! Passing on parts of logs: what the server does with such a call, under virtual time.

use bytes::Bytes;
use kvs_cluster::branches::BranchCall;
use kvs_cluster::relay::Relay;
use kvs_cluster::serve::serve;
use kvs_protocol::call::{CallFailure, CallKind};
use kvs_protocol::membership::contract::Event as MembershipEvent;

use crate::step::Call;
use crate::world::World;

impl World {
    /// A machine takes a part of a log, and passes it on.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub(crate) fn pass_on(&mut self, call: Call) -> Result<(), String> {
        let place = call.target;
        let Some(node) = self.nodes.get(place) else { return Ok(()) };
        let now = node.clock.read();
        let Some(process) = &node.process else { return Ok(()) };
        let (store, peers, number) = (std::sync::Arc::clone(&process.store), process.peers, process.number);
        let (mut relay, branches) = match Relay::begin(store.node(), &call.body, self.weather.tree.fan_out) {
            Ok(begun) => begun,
            Err(error) => {
                self.send_answer(call, Err(CallFailure::Rejected(error.to_string())));
                return Ok(());
            }
        };
        let own = serve(&store, &self.secrets, peers, relay.origin(), CallKind::Replicate, relay.part(), now);
        relay.take_own(own);
        let heard = MembershipEvent::Heard { node: call.from };
        let relay_number = self.relays.next();
        for BranchCall { head, to, body, timeout } in branches {
            let id = self.relays.next_call();
            self.call(place, id, Some(head), &to, (CallKind::Relay, body), timeout);
            if self.open.contains(&(place, number, id)) {
                self.relays.calls.insert(id, (relay_number, head));
            } else {
                relay.take_branch(head, Err(CallFailure::Unreachable("there is no such address".into())));
            }
        }
        self.relays.open.insert(relay_number, (call, relay));
        self.answer_relay(relay_number);
        self.drive_membership(place, heard)?;
        self.settle(place)
    }

    /// A call ended. Answers whether it was one that passes a part on.
    pub(crate) fn take_branch(&mut self, call: &Call, result: &Result<Bytes, CallFailure>) -> bool {
        let Some((relay, head)) = self.relays.calls.remove(&call.call) else { return false };
        if self.process_mut(call.caller, call.process).is_none() {
            self.relays.open.remove(&relay);
        } else if let Some((_, relay)) = self.relays.open.get_mut(&relay) {
            relay.take_branch(head, result.clone());
        }
        self.answer_relay(relay);
        true
    }

    fn answer_relay(&mut self, relay: u64) {
        if self.relays.open.get(&relay).is_some_and(|(_, relay)| relay.is_complete())
            && let Some((call, relay)) = self.relays.open.remove(&relay)
        {
            self.send_answer(call, Ok(relay.finish()));
        }
    }
}
