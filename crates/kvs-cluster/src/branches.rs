//! The branches of a tree by which a part of a log travels: who passes it on to whom, what each is told, and what an answer
//! says of every node of a branch.
//!
//! The node whose log it is and every node that passes it on divide what is left to be reached in the same way, so the tree is
//! nowhere kept: it follows from the order of the targets, and each call has fewer of them than the one before.
//!
//! Left out: when a part goes by a tree at all, and what is made of an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kvs_protocol::call::CallFailure;
use kvs_protocol::wire::relay::{Outcome, RelayReply, RelayRequest, Target};
use uuid::Uuid;

/// A branch: the node that is called, and those that it is to pass the part on to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) head: Target,
    pub(crate) rest: Vec<Target>,
}

/// A call that brings a part to a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchCall {
    /// Who must answer.
    pub head: Uuid,
    /// `host:port`.
    pub to: String,
    /// A [`RelayRequest`].
    pub body: Bytes,
    /// After this time the branch counts as one that did not answer.
    pub timeout: Duration,
}

/// Divides targets into at most `fan_out` branches (at least one), as equal as can be, in the order of the targets.
pub(crate) fn branches(targets: &[Target], fan_out: usize) -> Vec<Branch> {
    let count = fan_out.clamp(1, targets.len().max(1));
    let (each, longer) = (targets.len() / count, targets.len() % count);
    let mut left = targets;
    let mut branches = Vec::new();
    for number in 0..count {
        let (chunk, after) = left.split_at(each + usize::from(number < longer));
        left = after;
        if let Some((head, rest)) = chunk.split_first() {
            branches.push(Branch { head: head.clone(), rest: rest.to_vec() });
        }
    }
    branches
}

/// The calls that bring a part of the log of `origin` to these branches. Each head answers within `patience` of what it has from
/// its own branches, and is waited for twice as long.
pub(crate) fn calls(branches: &[Branch], origin: Uuid, part: &Bytes, patience: Duration) -> Vec<BranchCall> {
    let encode = |targets: &[Target]| -> Bytes {
        let (targets, part) = (targets.to_vec(), part.clone());
        RelayRequest { origin, patience, targets, part }.encode().into()
    };
    // Where the way ends all are told the same, and share the bytes.
    let mut last: Option<Bytes> = None;
    let body_of = |branch: &Branch| match branch.rest.as_slice() {
        [] => last.get_or_insert_with(|| encode(&[])).clone(),
        rest => encode(rest),
    };
    let bodies: Vec<Bytes> = branches.iter().map(body_of).collect();
    let told = branches.iter().zip(bodies);
    told.map(|(Branch { head, .. }, body)| {
        let (head, to) = (head.node, head.address.clone());
        BranchCall { head, to, body, timeout: patience.saturating_mul(2) }
    })
    .collect()
}

impl Branch {
    /// All its nodes, the head first.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = Uuid> {
        std::iter::once(&self.head).chain(&self.rest).map(|target| target.node)
    }

    /// What became of the part at each node of the branch, by what its head answered. A node of which the answer says nothing
    /// did not answer, and what it says of others counts for nothing.
    pub(crate) fn outcomes(&self, result: Result<Bytes, CallFailure>) -> Vec<(Uuid, Outcome)> {
        let reply = result
            .map_err(|failure| failure.to_string())
            .and_then(|bytes| RelayReply::decode(&bytes).map_err(|error| error.to_string()));
        match reply {
            Ok(RelayReply { own, others }) => {
                let mut others: BTreeMap<Uuid, Outcome> = others.into_iter().collect();
                let silent = || Err("nothing was said of it".to_owned());
                let rest = self.rest.iter().map(|target| target.node);
                let rest = rest.map(|node| (node, others.remove(&node).unwrap_or_else(silent)));
                std::iter::once((self.head.node, own)).chain(rest).collect()
            }
            Err(reason) => self.nodes().map(|node| (node, Err(reason.clone()))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Branch, branches, calls};
    use bytes::Bytes;
    use kvs_protocol::call::CallFailure;
    use kvs_protocol::wire::relay::{RelayReply, RelayRequest, Target};
    use std::time::Duration;
    use uuid::Uuid;

    fn targets(count: u128) -> Vec<Target> {
        let target = |node| Target { node: Uuid::from_u128(node), address: format!("{node}:1") };
        (1..=count).map(target).collect()
    }

    /// The nodes that a part reaches, in order, and over how many calls the farthest is reached.
    fn reached(targets: &[Target], fan_out: usize) -> (Vec<Uuid>, u32) {
        let (mut nodes, mut depth) = (Vec::new(), 0);
        for branch in branches(targets, fan_out) {
            let (below, deeper) = reached(&branch.rest, fan_out);
            nodes.push(branch.head.node);
            nodes.extend(below);
            depth = depth.max(deeper + 1);
        }
        (nodes, depth)
    }

    #[test]
    fn every_target_is_reached_once_over_few_calls() {
        for fan_out in 0..20_u32 {
            for count in 0..300 {
                let targets = targets(count);
                let (nodes, depth) = reached(&targets, fan_out as usize);
                assert_eq!(nodes, targets.iter().map(|target| target.node).collect::<Vec<_>>());
                assert!(branches(&targets, fan_out as usize).len() <= fan_out.max(1) as usize);
                if fan_out > 1 {
                    // With so many levels a full tree has room for all.
                    let room: u128 =
                        (1..=depth.saturating_sub(1)).map(|level| u128::from(fan_out).pow(level)).sum();
                    assert!(count == 0 || room < count, "{count} targets, {fan_out} each: {depth} calls");
                }
            }
        }
        assert_eq!(reached(&targets(272), 16).1, 2);
        assert_eq!(reached(&targets(1023), 16).1, 3);
    }

    #[test]
    fn each_head_is_told_its_own_targets() {
        let (origin, part) = (Uuid::from_u128(99), Bytes::from_static(b"part"));
        let branches = branches(&targets(5), 3);
        let calls = calls(&branches, origin, &part, Duration::from_secs(2));
        for (branch, call) in branches.iter().zip(&calls) {
            assert_eq!((call.head, &call.to), (branch.head.node, &branch.head.address));
            assert_eq!(call.timeout, Duration::from_secs(4));
            let told = RelayRequest::decode(&call.body).unwrap();
            let (targets, part, patience) = (branch.rest.clone(), part.clone(), Duration::from_secs(2));
            assert_eq!(told, RelayRequest { origin, patience, targets, part });
        }
        assert_eq!(branches.iter().map(|branch| branch.rest.len()).collect::<Vec<_>>(), [1, 1, 0]);
    }

    #[test]
    fn an_answer_counts_for_the_nodes_of_its_branch_alone() {
        let [head, second, third] = [1, 2, 3].map(Uuid::from_u128);
        let branch = Branch { head: targets(1).remove(0), rest: targets(3).split_off(1) };
        let own = Ok(Bytes::from_static(b"1"));
        let others = vec![(Uuid::from_u128(9), own.clone()), (third, Err("away".to_owned()))];
        let reply = RelayReply { own: own.clone(), others }.encode().into();
        let silent = Err("nothing was said of it".to_owned());
        let told = vec![(head, own), (second, silent), (third, Err("away".to_owned()))];
        assert_eq!(branch.outcomes(Ok(reply)), told);
        for failed in [Err(CallFailure::Refused), Ok(Bytes::from_static(b"nonsense"))] {
            let told = branch.outcomes(failed);
            assert_eq!(told.iter().map(|(node, _)| *node).collect::<Vec<_>>(), [head, second, third]);
            assert!(told.iter().all(|(_, outcome)| outcome.is_err()));
        }
    }
}
