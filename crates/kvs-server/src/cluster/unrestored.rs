//! Members that were not restored when this node was.
//!
//! Whoever restores all nodes from a backup wants the cluster back as it was. A data directory that was left out and comes
//! up later holds what was rolled back, and replication brings that back, rightly so by the order of versions. It cannot be
//! told from the ordinary case, one node restored beside others that go on; so nothing is refused, but it is not silent: a
//! restored node names such members in `/health` and in its log.
//!
//! Each restored node hands out when it was restored, as a record of the `cluster` namespace at `restored/NODE`; it
//! travels as everything else does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::membership::member::{Member, Status};
use kvs_protocol::mode::Mode;
use kvs_store::clock::Clock;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Write};
use kvs_store::engine::contract::Order;
use kvs_store::error::StoreError;
use kvs_store::read::range::{self, PageRow, RangeQuery};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::context::Node;
use crate::limits::{
    RESTORED_LOOK_INTERVAL, RESTORED_NODES_MAX, RESTORED_PATIENCE, RESTORED_TOGETHER, UNRESTORED_NAMED,
};

const PREFIX: &str = "restored/";

/// What a node hands out.
#[derive(Serialize, Deserialize)]
struct Restored {
    /// When it was restored, ms since 1970.
    restored: u64,
}

/// Hands out when this node was restored and looks for members that were not, for as long as it runs; returns at once in
/// a node that was not restored, or is alone.
pub(crate) async fn keep(node: Arc<Node>) {
    let restored_ms = match node.vault.own().restored_ms() {
        Ok(Some(restored_ms)) if node.cluster.is_some() => restored_ms,
        Ok(_) => return,
        Err(error) => {
            tracing::warn!(%error, "whether this node was restored cannot be read");
            return;
        }
    };
    let mut ticks = tokio::time::interval(RESTORED_LOOK_INTERVAL);
    let mut watch = Watch { restored_ms, met: HashMap::new() };
    loop {
        ticks.tick().await;
        let looking = Arc::clone(&node);
        let looked = tokio::task::spawn_blocking(move || {
            watch.turn(&looking);
            watch
        });
        match looked.await {
            Ok(same) => watch = same,
            Err(error) => {
                tracing::error!(%error, "looking for members that were not restored ended early");
                return;
            }
        }
    }
}

/// What is known so far.
struct Watch {
    restored_ms: u64,
    /// The members that were not restored.
    met: HashMap<Uuid, Met>,
}

/// A member that was not restored.
struct Met {
    /// Since when it is there, on the monotonic clock.
    since: Duration,
    /// Whether the log has it.
    is_told: bool,
}

impl Watch {
    fn turn(&mut self, node: &Node) {
        let Some(cluster) = &node.cluster else { return };
        let is_member =
            cluster.mode() != Mode::Syncing && node.vault.identity().joined_ms != JOINED_YOUNGEST_MS;
        if !is_member {
            return;
        }
        let restored = match handed_out(node) {
            Ok(restored) => restored,
            Err(error) => {
                tracing::debug!(%error, "which members were restored cannot be read now");
                return;
            }
        };
        let own = node.vault.identity().origin.node;
        if restored.get(&own) != Some(&self.restored_ms) {
            hand_out(node, own, self.restored_ms);
        }
        let view = cluster.view();
        let left_out: Vec<&Member> = view
            .visible
            .iter()
            // Its own earlier identities are among the dead.
            .filter(|member| member.node != own && member.status == Status::Alive)
            .filter(|member| is_left_out(member, &restored, self.restored_ms))
            .collect();
        let now = node.clock.monotonic();
        let there: HashSet<Uuid> = left_out.iter().map(|member| member.node).collect();
        self.met.retain(|node, _| there.contains(node));
        let mut names = Vec::new();
        for member in left_out {
            let met = self.met.entry(member.node).or_insert(Met { since: now, is_told: false });
            let age = now.saturating_sub(met.since);
            // What it hands out may still be on its way.
            if age < RESTORED_PATIENCE {
                continue;
            }
            if !met.is_told {
                met.is_told = true;
                tracing::warn!(
                    node_id = member.node_id,
                    node = %member.node,
                    address = member.address,
                    "this member was not restored when this node was: what it holds that is newer than the backup comes back"
                );
            }
            if age < UNRESTORED_NAMED {
                names.push(member.node_id.clone());
            }
        }
        cluster.set_unrestored(names);
    }
}

/// Whether a member was there before this node was restored, and was not restored with it.
fn is_left_out(member: &Member, restored: &HashMap<Uuid, u64>, restored_ms: u64) -> bool {
    let together_ms = u64::try_from(RESTORED_TOGETHER.as_millis()).unwrap_or(u64::MAX);
    match restored.get(&member.node) {
        Some(theirs) => theirs.saturating_add(together_ms) < restored_ms,
        None => member.joined_ms < restored_ms,
    }
}

/// When each node was restored that was.
fn handed_out(node: &Node) -> Result<HashMap<Uuid, u64>, StoreError> {
    let query = RangeQuery {
        namespace: Namespace::Cluster,
        start: Bytes::new(),
        end: Bytes::new(),
        prefix: Bytes::from_static(PREFIX.as_bytes()),
        delimiter: None,
        limit: RESTORED_NODES_MAX,
        order: Order::Ascending,
        after: None,
    };
    let page = range::page(&node.vault.view()?, &query, node.clock.now_ms())?;
    let mut restored = HashMap::new();
    for row in page.rows {
        let PageRow::Key(path, record) = row else { continue };
        let name = path.as_str().strip_prefix(PREFIX).and_then(|name| Uuid::try_parse(name).ok());
        let told: Option<Restored> = serde_json::from_slice(&node.vault.json(&record)?).ok();
        restored.extend(name.zip(told.map(|told| told.restored)));
    }
    Ok(restored)
}

fn hand_out(node: &Node, own: Uuid, restored_ms: u64) {
    let Ok(path) = Path::parse(&format!("{PREFIX}{own}")) else { return };
    let Ok(json) = serde_json::to_vec(&Restored { restored: restored_ms }) else { return };
    let write = Write {
        namespace: Namespace::Cluster,
        path,
        change: Change::Put { content: node.vault.prepare(Bytes::from(json)), lifetime: None },
        precondition: Precondition::default(),
        asker: Asker::nobody(),
    };
    if let Err(error) = node.vault.own().commit(vec![write]) {
        tracing::debug!(%error, "that this node was restored is not handed out now");
    }
}

#[cfg(test)]
mod tests {
    use super::is_left_out;
    use kvs_protocol::membership::member::{Member, Status};
    use kvs_protocol::mode::Mode;
    use std::collections::HashMap;
    use uuid::Uuid;

    const RESTORED_MS: u64 = 1_700_000_000_000;
    const HOUR_MS: u64 = 3_600_000;

    fn is_named(joined_ms: u64, theirs: Option<u64>) -> bool {
        let node = Uuid::from_u128(7);
        let member = Member {
            node,
            generation: 1,
            node_id: "n".into(),
            address: "n:1".into(),
            joined_ms,
            mode: Mode::Normal,
            status: Status::Alive,
            last_seen_ms: 0,
            is_forgotten: false,
        };
        let restored: HashMap<_, _> = theirs.map(|theirs| (node, theirs)).into_iter().collect();
        is_left_out(&member, &restored, RESTORED_MS)
    }

    #[test]
    fn who_was_there_before_and_was_not_restored_is_named() {
        assert!(is_named(RESTORED_MS - 1, None));
        assert!(!is_named(RESTORED_MS + HOUR_MS, None), "it is new");
        assert!(!is_named(RESTORED_MS - HOUR_MS, Some(RESTORED_MS - HOUR_MS)), "one after the other");
        assert!(!is_named(RESTORED_MS + HOUR_MS, Some(RESTORED_MS + HOUR_MS)));
        assert!(is_named(RESTORED_MS - 900 * HOUR_MS, Some(RESTORED_MS - 800 * HOUR_MS)), "of another time");
    }
}
