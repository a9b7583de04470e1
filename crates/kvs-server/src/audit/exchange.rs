//! Checkpoints of the trail: signed in time, handed to the cluster, and kept for the others.
//!
//! They travel as records of the `cluster` namespace, one for each node at `audit/NODE`, by the same way as everything
//! else; what a node keeps of others it appends to files of its own, so a later record takes nothing back.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use kvs_audit::audit_log::AuditLog;
use kvs_audit::checkpoint::Checkpoint;
use kvs_audit::checkpoint_file::Kept;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::mode::Mode;
use kvs_store::clock::Clock;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Write};
use kvs_store::engine::contract::Order;
use kvs_store::read::range::{self, PageRow, RangeQuery};
use uuid::Uuid;

use crate::context::Node;
use crate::limits::{AUDIT_LOOK_INTERVAL, AUDIT_PEERS_LOOK_TICKS, AUDIT_PEERS_MAX};

const PREFIX: &str = "audit/";

/// Signs, hands out and keeps checkpoints for ever.
pub(crate) async fn keep(node: Arc<Node>) {
    if node.recorder.log().is_none() && !node.recorder.is_awaited() {
        return;
    }
    let mut ticks = tokio::time::interval(AUDIT_LOOK_INTERVAL);
    let mut exchange = Exchange::default();
    loop {
        ticks.tick().await;
        let working = Arc::clone(&node);
        let looked = tokio::task::spawn_blocking(move || {
            if let Some(log) = working.recorder.log() {
                exchange.turn(&working, log);
            }
            exchange
        });
        match looked.await {
            Ok(same) => exchange = same,
            Err(error) => {
                tracing::error!(%error, "looking after the audit trail ended early");
                return;
            }
        }
    }
}

/// How far the exchange is.
#[derive(Default)]
struct Exchange {
    tick: u64,
    /// The entry that the checkpoint handed out last covers.
    handed_out: Option<u64>,
    /// The version that was kept of each peer.
    seen: HashMap<Uuid, Uuid>,
}

impl Exchange {
    fn turn(&mut self, node: &Node, log: &AuditLog) {
        self.tick = self.tick.wrapping_add(1);
        if let Err(error) = log.checkpoint_if_due(node.clock.now_ms()) {
            tracing::error!(%error, "the audit trail cannot be signed");
        }
        let Some(cluster) = &node.cluster else { return };
        let is_member =
            cluster.mode() != Mode::Syncing && node.vault.identity().joined_ms != JOINED_YOUNGEST_MS;
        if let Some(checkpoint) = log.last_checkpoint().filter(|_| is_member)
            && self.handed_out != Some(checkpoint.seq)
            && hand_out(node, &checkpoint)
        {
            self.handed_out = Some(checkpoint.seq);
        }
        if self.tick.is_multiple_of(AUDIT_PEERS_LOOK_TICKS) {
            keep_of_peers(node, log, &mut self.seen);
        }
    }
}

/// Writes the node's checkpoint where its peers get it; whether that succeeded.
fn hand_out(node: &Node, checkpoint: &Checkpoint) -> bool {
    let Ok(path) = Path::parse(&format!("{PREFIX}{}", checkpoint.node)) else { return false };
    let content = node.vault.prepare(Bytes::from(checkpoint.encode()));
    let write = Write {
        namespace: Namespace::Cluster,
        path,
        change: Change::Put { content, lifetime: None },
        precondition: Precondition::default(),
        asker: Asker::nobody(),
    };
    let committed = node.vault.own().commit(vec![write]);
    if let Err(error) = &committed {
        tracing::debug!(%error, "a checkpoint of the audit trail is not handed out now");
    }
    committed.is_ok()
}

/// Keeps what peers have handed out since the last look; `seen` is the version that was kept of each.
fn keep_of_peers(node: &Node, log: &AuditLog, seen: &mut HashMap<Uuid, Uuid>) {
    let own = node.vault.identity().origin.node;
    let query = RangeQuery {
        namespace: Namespace::Cluster,
        start: Bytes::new(),
        end: Bytes::new(),
        prefix: Bytes::from_static(PREFIX.as_bytes()),
        delimiter: None,
        limit: AUDIT_PEERS_MAX,
        order: Order::Ascending,
        after: None,
    };
    let now_ms = node.clock.now_ms();
    let page = match node.vault.view().and_then(|view| range::page(&view, &query, now_ms)) {
        Ok(page) => page,
        Err(error) => {
            tracing::debug!(%error, "the checkpoints of peers cannot be read now");
            return;
        }
    };
    for row in page.rows {
        let PageRow::Key(path, record) = row else { continue };
        let name = path.as_str().strip_prefix(PREFIX).and_then(|name| Uuid::try_parse(name).ok());
        let Some(peer) = name.filter(|peer| *peer != own) else { continue };
        if seen.insert(peer, record.version.uuid) == Some(record.version.uuid) {
            continue;
        }
        let kept = node.vault.json(&record).map_err(|error| error.to_string()).and_then(|json| {
            log.keep_peer_checkpoint(peer, &json, now_ms).map_err(|error| error.to_string())
        });
        match kept {
            Ok(Kept::Contradicts) => {
                tracing::error!(%peer, "a checkpoint of a peer's audit trail contradicts an earlier one: it was bent");
            }
            Ok(Kept::KeptWithNewKey) => tracing::error!(%peer, "a peer signs its audit trail with a new key"),
            Ok(_) => {}
            Err(error) => tracing::warn!(%peer, error, "a checkpoint of a peer's audit trail is not kept"),
        }
    }
}
