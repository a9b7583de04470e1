//! What changed about members and seeds, in the lines that a log should have: one for each thing that happened, with the
//! name by which an operator knows the node.

use std::collections::BTreeMap;

use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::membership::contract::SeedReport;
use kvs_protocol::membership::member::{Member, Status};
use uuid::Uuid;

/// Something that happened to another member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It is new here.
    Joined,
    /// It does not answer.
    Failed,
    /// It answers again.
    Returned,
    /// It said goodbye.
    Left,
    /// It is reached elsewhere than before.
    Moved {
        /// Where it was.
        from: String,
    },
    /// It has another name than before.
    Renamed {
        /// What it was called.
        from: String,
    },
    /// It counts no more.
    Forgotten,
}

/// What happened to the other members between two lists, both with this node first.
pub(super) fn changes(before: &[Member], after: &[Member]) -> Vec<(Member, Change)> {
    let known: BTreeMap<Uuid, &Member> = before.iter().map(|member| (member.node, member)).collect();
    let mut found = Vec::new();
    for member in after.iter().skip(1) {
        let mut add = |change| found.push((member.clone(), change));
        let is_there = is_up(member) && member.joined_ms != JOINED_YOUNGEST_MS;
        let Some(was) = known.get(&member.node) else {
            if is_there && !member.is_forgotten {
                add(Change::Joined);
            }
            continue;
        };
        if member.is_forgotten {
            if !was.is_forgotten {
                add(Change::Forgotten);
            }
            continue;
        }
        let was_there = is_up(was) && was.joined_ms != JOINED_YOUNGEST_MS;
        if was.node_id != member.node_id {
            add(Change::Renamed { from: was.node_id.clone() });
        }
        if was.address != member.address {
            add(Change::Moved { from: was.address.clone() });
        }
        match member.status {
            Status::Left if was.status != Status::Left => add(Change::Left),
            Status::Failed if is_up(was) => add(Change::Failed),
            _ if is_there && !was_there => {
                add(if was.joined_ms == JOINED_YOUNGEST_MS { Change::Joined } else { Change::Returned });
            }
            _ => {}
        }
    }
    found
}

/// A suspicion is no event: either it comes to nothing, or the member fails.
const fn is_up(member: &Member) -> bool {
    matches!(member.status, Status::Alive | Status::Suspect)
}

/// Writes a line for each.
pub(super) fn log(changes: &[(Member, Change)]) {
    for (member, change) in changes {
        let Member { node, node_id, address, .. } = member;
        match change {
            Change::Joined => tracing::info!(node_id, address, %node, "a node is in the cluster"),
            Change::Returned => tracing::info!(node_id, address, %node, "a member answers again"),
            Change::Failed => tracing::warn!(node_id, address, %node, "a member does not answer: it failed"),
            Change::Left => tracing::info!(node_id, address, %node, "a member left the cluster"),
            Change::Moved { from } => tracing::info!(node_id, address, from, %node, "a member moved"),
            Change::Renamed { from } => {
                tracing::warn!(node_id, address, from, %node, "a member has another name");
            }
            Change::Forgotten => {
                tracing::warn!(node_id, address, %node, "a member is forgotten: it counts no more");
            }
        }
    }
}

/// What is new about seeds: that one is not reached and why, or that it is reached after all. A reason is told once, until it
/// changes or the seed was reached.
#[derive(Debug, Default)]
pub(super) struct SeedLog(BTreeMap<String, String>);

impl SeedLog {
    /// What is to be told: the address, and why it is not reached or `None`.
    pub(super) fn news(&mut self, seeds: &[SeedReport]) -> Vec<(String, Option<String>)> {
        let mut news = Vec::new();
        for SeedReport { address, is_reached, failure } in seeds {
            if *is_reached {
                if self.0.remove(address).is_some() {
                    news.push((address.clone(), None));
                }
            } else if let Some(failure) = failure
                && self.0.get(address) != Some(failure)
            {
                self.0.insert(address.clone(), failure.clone());
                news.push((address.clone(), Some(failure.clone())));
            }
        }
        news
    }

    /// Writes a line for each that is new.
    pub(super) fn log(&mut self, seeds: &[SeedReport]) {
        for (address, failure) in self.news(seeds) {
            match failure {
                Some(reason) => {
                    tracing::warn!(address, reason, "a seed is not reached: it is tried until it is")
                }
                None => tracing::info!(address, "a seed is reached"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, SeedLog, changes};
    use kvs_core::version::JOINED_YOUNGEST_MS;
    use kvs_protocol::membership::contract::SeedReport;
    use kvs_protocol::membership::member::{Member, Status};
    use kvs_protocol::mode::Mode;
    use uuid::Uuid;

    fn member(node: u128, status: Status) -> Member {
        Member {
            node: Uuid::from_u128(node),
            generation: 1,
            node_id: format!("n{node}"),
            address: format!("10.0.0.{node}:1"),
            joined_ms: 5,
            mode: Mode::Normal,
            status,
            last_seen_ms: 0,
            is_forgotten: false,
        }
    }

    fn of_one(before: Option<Member>, after: Member) -> Vec<Change> {
        let own = member(1, Status::Alive);
        let before: Vec<Member> = std::iter::once(own.clone()).chain(before).collect();
        changes(&before, &[own, after]).into_iter().map(|(_, change)| change).collect()
    }

    #[test]
    fn each_thing_that_happens_is_told_once() {
        use Status::{Alive, Failed, Left, Suspect};
        let waiting = |status| Member { joined_ms: JOINED_YOUNGEST_MS, ..member(2, status) };
        let forgotten = |status| Member { is_forgotten: true, ..member(2, status) };
        let rows = [
            (None, member(2, Alive), vec![Change::Joined]),
            (None, waiting(Alive), vec![]),
            (Some(waiting(Alive)), member(2, Alive), vec![Change::Joined]),
            (None, member(2, Failed), vec![]),
            (None, forgotten(Failed), vec![]),
            (Some(member(2, Alive)), member(2, Alive), vec![]),
            (Some(member(2, Alive)), member(2, Suspect), vec![]),
            (Some(member(2, Suspect)), member(2, Failed), vec![Change::Failed]),
            (Some(member(2, Failed)), member(2, Failed), vec![]),
            (Some(member(2, Failed)), member(2, Alive), vec![Change::Returned]),
            (Some(member(2, Suspect)), member(2, Alive), vec![]),
            (Some(member(2, Alive)), member(2, Left), vec![Change::Left]),
            (Some(member(2, Left)), member(2, Alive), vec![Change::Returned]),
            (Some(member(2, Failed)), forgotten(Failed), vec![Change::Forgotten]),
            (Some(forgotten(Failed)), forgotten(Failed), vec![]),
        ];
        for (before, after, expected) in rows {
            assert_eq!(of_one(before.clone(), after.clone()), expected, "{before:?} {after:?}");
        }
        let moved = Member { address: "10.0.0.9:1".into(), node_id: "other".into(), ..member(2, Alive) };
        let expected = [Change::Renamed { from: "n2".into() }, Change::Moved { from: "10.0.0.2:1".into() }];
        assert_eq!(of_one(Some(member(2, Alive)), moved), expected);
    }

    #[test]
    fn why_a_seed_is_not_reached_is_told_once_for_each_reason() {
        let seed = |is_reached, failure: Option<&str>| {
            [SeedReport { address: "a:1".into(), is_reached, failure: failure.map(Into::into) }]
        };
        let mut log = SeedLog::default();
        assert_eq!(log.news(&seed(false, None)), []);
        let told = |reason: Option<&str>| vec![("a:1".to_owned(), reason.map(Into::into))];
        assert_eq!(log.news(&seed(false, Some("refused"))), told(Some("refused")));
        assert_eq!(log.news(&seed(false, Some("refused"))), []);
        assert_eq!(log.news(&seed(false, Some("unknown host"))), told(Some("unknown host")));
        assert_eq!(log.news(&seed(true, None)), told(None));
        assert_eq!(log.news(&seed(true, None)), []);
        assert_eq!(log.news(&seed(false, Some("refused"))), told(Some("refused")));
    }
}
