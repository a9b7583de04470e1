//! A part of a log that a peer passes on: whom this node calls for it, and what it answers when they have.
//!
//! Whoever drives it commits the part as a call of its origin ([`Relay::origin`], [`Relay::part`], through
//! [`serve`](crate::serve::serve)), makes the calls at the same time, tells how each ended, and answers as soon as
//! [`Relay::is_complete`]. The times of the calls are the bound of the whole; no other timer is needed.
//!
//! **Invariant:** a part goes to every target once at most, never back to its origin or to this node, and each call has fewer
//! targets than the request: nothing goes round in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kvs_protocol::call::CallFailure;
use kvs_protocol::wire::decode_error::DecodeError;
use kvs_protocol::wire::relay::{Outcome, RelayReply, RelayRequest, Target};
use kvs_protocol::wire::replicate::ReplicateRequest;
use uuid::Uuid;

use crate::branches::{Branch, BranchCall, branches, calls};
use crate::error::ServeError;
use crate::limits::RELAY_PATIENCE;

/// A part that is being passed on.
#[derive(Debug)]
pub struct Relay {
    origin: Uuid,
    part: Bytes,
    own: Option<Outcome>,
    /// Branches that have not answered.
    open: BTreeMap<Uuid, Branch>,
    others: Vec<(Uuid, Outcome)>,
}

impl Relay {
    /// Takes the request of a peer in at the node `own`; answers the calls that pass the part on to at most `fan_out` branches.
    ///
    /// # Errors
    ///
    /// [`ServeError::Malformed`]: the bytes are no request with a part of a log, or it comes back to its origin, or it is to go
    /// where it came from, to this node, or twice to one. Nothing was taken, nobody is to be called.
    pub fn begin(own: Uuid, body: &Bytes, fan_out: usize) -> Result<(Self, Vec<BranchCall>), ServeError> {
        let RelayRequest { origin, patience, targets, part } = RelayRequest::decode(body)?;
        check(own, origin, &targets)?;
        // What nobody can read is not passed on.
        ReplicateRequest::decode(&part)?;
        let branches = branches(&targets, fan_out);
        let calls = calls(&branches, origin, &part, half(patience));
        let open = branches.into_iter().map(|branch| (branch.head.node, branch)).collect();
        Ok((Self { origin, part, own: None, open, others: Vec::new() }, calls))
    }

    /// Whose log it is: the part counts as a call of it.
    #[must_use]
    pub const fn origin(&self) -> Uuid {
        self.origin
    }

    /// The part.
    #[must_use]
    pub const fn part(&self) -> &Bytes {
        &self.part
    }

    /// What came of the part at this node.
    pub fn take_own(&mut self, result: Result<Bytes, ServeError>) {
        self.own = Some(result.map_err(|error| error.to_string()));
    }

    /// How the call of a branch ended. One that is not open is none of this part.
    pub fn take_branch(&mut self, head: Uuid, result: Result<Bytes, CallFailure>) {
        if let Some(branch) = self.open.remove(&head) {
            self.others.extend(branch.outcomes(result));
        }
    }

    /// Whether all has ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.own.is_some() && self.open.is_empty()
    }

    /// What the peer is answered; of what has not ended it is told that there was no answer.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        let late = || Err("there was no answer in time".to_owned());
        for branch in self.open.into_values() {
            self.others.extend(branch.nodes().map(|node| (node, late())));
        }
        RelayReply { own: self.own.unwrap_or_else(late), others: self.others }.encode().into()
    }
}

/// What a branch has of the patience that this node was told. It is called for twice that time, which is all of it.
fn half(patience: Duration) -> Duration {
    patience.min(RELAY_PATIENCE) / 2
}

fn check(own: Uuid, origin: Uuid, targets: &[Target]) -> Result<(), DecodeError> {
    if origin == own {
        return Err(DecodeError::Field("origin"));
    }
    let mut seen = BTreeSet::from([own, origin]);
    if targets.iter().all(|target| seen.insert(target.node)) {
        Ok(())
    } else {
        Err(DecodeError::Field("targets"))
    }
}

#[cfg(test)]
mod tests {
    use super::Relay;
    use crate::error::ServeError;
    use crate::limits::RELAY_PATIENCE;
    use bytes::Bytes;
    use kvs_core::log_position::LogPosition;
    use kvs_core::vector::Vector;
    use kvs_protocol::call::CallFailure;
    use kvs_protocol::wire::relay::{RelayReply, RelayRequest, Target};
    use kvs_protocol::wire::replicate::ReplicateRequest;
    use std::time::Duration;
    use uuid::Uuid;

    const OWN: Uuid = Uuid::from_u128(100);
    const ORIGIN: Uuid = Uuid::from_u128(200);

    fn part() -> Bytes {
        let request = ReplicateRequest {
            from: None,
            start_local_seq: 0,
            to: LogPosition { epoch: 1, local_seq: 2 },
            left_out: Vector::default(),
            claim: Vector::default(),
            records: Vec::new(),
        };
        request.encode().into()
    }

    fn request(origin: Uuid, nodes: &[u128], part: Bytes) -> Bytes {
        let target = |node: &u128| Target { node: Uuid::from_u128(*node), address: format!("{node}:1") };
        let targets = nodes.iter().map(target).collect();
        RelayRequest { origin, patience: Duration::from_secs(3600), targets, part }.encode().into()
    }

    fn answer(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn the_answer_says_what_became_of_the_part_everywhere() {
        let (mut relay, calls) = Relay::begin(OWN, &request(ORIGIN, &[1, 2, 3, 4, 5], part()), 2).unwrap();
        assert_eq!((relay.origin(), relay.part()), (ORIGIN, &part()));
        let heads: Vec<_> = calls.iter().map(|call| (call.head.as_u128(), call.to.as_str())).collect();
        assert_eq!(heads, [(1, "1:1"), (4, "4:1")]);
        // However long a caller would wait, a branch has no more than the bound.
        assert!(calls.iter().all(|call| call.timeout == RELAY_PATIENCE));
        let told = RelayRequest::decode(&calls[0].body).unwrap();
        assert_eq!((told.origin, told.part, told.patience), (ORIGIN, part(), RELAY_PATIENCE / 2));
        assert_eq!(told.targets.iter().map(|target| target.node.as_u128()).collect::<Vec<_>>(), [2, 3]);

        let others = [(2, Ok(answer("2"))), (3, Err("away".to_owned()))];
        let others = others.map(|(node, outcome)| (Uuid::from_u128(node), outcome)).into();
        let reply = RelayReply { own: Ok(answer("1")), others }.encode().into();
        relay.take_branch(Uuid::from_u128(1), Ok(reply));
        relay.take_own(Ok(answer("own")));
        assert!(!relay.is_complete());
        // Who was not called, or has answered, says nothing more.
        relay.take_branch(Uuid::from_u128(9), Ok(answer("9")));
        relay.take_branch(Uuid::from_u128(1), Err(CallFailure::Refused));
        assert!(!relay.is_complete());
        relay.take_branch(Uuid::from_u128(4), Err(CallFailure::Refused));
        assert!(relay.is_complete());
        let reply = RelayReply::decode(&relay.finish()).unwrap();
        assert_eq!(reply.own, Ok(answer("own")));
        let refused = || Err(CallFailure::Refused.to_string());
        let told: Vec<_> =
            reply.others.into_iter().map(|(node, outcome)| (node.as_u128(), outcome)).collect();
        let away = Err("away".to_owned());
        assert_eq!(
            told,
            [(1, Ok(answer("1"))), (2, Ok(answer("2"))), (3, away), (4, refused()), (5, refused())]
        );
    }

    #[test]
    fn where_the_way_ends_nobody_is_called() {
        let (mut relay, calls) = Relay::begin(OWN, &request(ORIGIN, &[], part()), 16).unwrap();
        assert!(calls.is_empty() && !relay.is_complete());
        relay.take_own(Err(ServeError::Elsewhere));
        assert!(relay.is_complete());
        let reply = RelayReply::decode(&relay.finish()).unwrap();
        assert_eq!(reply, RelayReply { own: Err(ServeError::Elsewhere.to_string()), others: Vec::new() });
    }

    #[test]
    fn what_has_not_ended_is_told_as_unanswered() {
        let (mut relay, _) = Relay::begin(OWN, &request(ORIGIN, &[1, 2, 3], part()), 2).unwrap();
        relay.take_branch(
            Uuid::from_u128(3),
            Ok(RelayReply { own: Ok(answer("3")), others: vec![] }.encode().into()),
        );
        let reply = RelayReply::decode(&relay.finish()).unwrap();
        assert!(reply.own.is_err());
        let answered: Vec<_> =
            reply.others.iter().map(|(node, outcome)| (node.as_u128(), outcome.is_ok())).collect();
        assert_eq!(answered, [(3, true), (1, false), (2, false)]);
    }

    #[test]
    fn what_would_go_round_or_cannot_be_read_is_refused() {
        let own = OWN.as_u128();
        let origin = ORIGIN.as_u128();
        for bad in [
            request(OWN, &[1], part()),
            request(ORIGIN, &[1, own], part()),
            request(ORIGIN, &[origin], part()),
            request(ORIGIN, &[1, 2, 1], part()),
            request(ORIGIN, &[1], answer("no part")),
            request(ORIGIN, &[1], Bytes::new()),
            answer("no request"),
        ] {
            assert!(matches!(Relay::begin(OWN, &bad, 16), Err(ServeError::Malformed(_))), "{bad:?}");
        }
    }
}
