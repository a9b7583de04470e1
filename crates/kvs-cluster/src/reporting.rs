//! The replicator's part for operators: how peers stand, and who keeps tombstones.

use std::ops::Bound;

use kvs_store::engine::contract::Order;
use kvs_store::error::StoreError;
use kvs_store::keys::{read_dot_key, read_time_key};
use kvs_store::table::Table;

use crate::clocks::Judgement;
use crate::limits::TOMBSTONES_LOOKED_AT_MAX;
use crate::peer::{Equality, Peer};
use crate::replicator::Replicator;
use crate::report::{Blocker, BootstrapReport, PeerReport, Report, TombstoneReport};

impl Replicator {
    /// How the cluster converges, as this node sees it.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            peers: self.peers.values().map(|peer| self.report_of(peer)).collect(),
            bootstrap: self.bootstrap_report(),
            sessions: self.repair.report(),
        }
    }

    /// How far the bootstrap is; `None` when there is none under way.
    #[must_use]
    pub fn bootstrap_report(&self) -> Option<BootstrapReport> {
        self.fetching.report()
    }

    /// What peers' clocks say of this node's.
    #[must_use]
    pub const fn clock(&self) -> Judgement {
        self.time.judgement()
    }

    /// Whether a member keeps its tombstones for another time than this node.
    #[must_use]
    pub fn graces_differ(&self) -> bool {
        let own_ms = self.context.store.tombstone_grace_ms();
        self.peers.values().filter_map(|peer| peer.grace_ms).any(|grace_ms| grace_ms != own_ms)
    }

    fn report_of(&self, peer: &Peer) -> PeerReport {
        let read = peer.shipping.is_told().then(|| peer.shipping.read_local_seq());
        let last = self.context.store.last_local_seq();
        PeerReport {
            node: peer.member.node,
            node_id: peer.member.node_id.clone(),
            address: peer.member.address.clone(),
            status: peer.member.status,
            mode: peer.mode,
            equal: match peer.equality {
                Equality::Unknown => None,
                Equality::Equal => Some(true),
                Equality::Unequal(_) => Some(false),
            },
            lag_ms: read.map(|read| self.moments.lag_ms(read, self.context.now.monotonic)),
            lag_records: read.map(|read| last.saturating_sub(read)),
            clock_offset_ms: peer.clock_offset_ms,
            parked: peer.parked,
            grace_ms: peer.grace_ms,
        }
    }

    /// The tombstones of this node and who keeps them. Reads from the disk, within a bound.
    ///
    /// # Errors
    ///
    /// A row cannot be read.
    pub fn tombstones(&self) -> Result<TombstoneReport, StoreError> {
        let mut report = TombstoneReport::default();
        let mut blockers: Vec<(&Peer, u64)> = self.peers.counting().map(|peer| (peer, 0)).collect();
        let view = self.context.store.view()?;
        let rows = view.range(Table::Tombstones, (Bound::Unbounded, Bound::Unbounded), Order::Ascending);
        for row in rows.take(TOMBSTONES_LOOKED_AT_MAX) {
            let (row_key, value) = row?;
            let corrupt = || StoreError::corrupt(Table::Tombstones.name(), &row_key, "it cannot be read");
            let dot = read_dot_key(&row_key).ok_or_else(corrupt)?;
            let (stamp_ms, _) = read_time_key(&value).ok_or_else(corrupt)?;
            report.looked_at += 1;
            report.oldest_ms = Some(report.oldest_ms.map_or(stamp_ms, |oldest| oldest.min(stamp_ms)));
            for (peer, lacks) in &mut blockers {
                *lacks += u64::from(!peer.shipping.received().covers(&dot));
            }
        }
        report.blocked_by = blockers
            .into_iter()
            .filter(|(_, lacks)| *lacks > 0)
            .map(|(peer, tombstones)| Blocker {
                node: peer.member.node,
                node_id: peer.member.node_id.clone(),
                status: peer.member.status,
                tombstones,
            })
            .collect();
        Ok(report)
    }
}
