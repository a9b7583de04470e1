//! Checkpoints of the trail: signed in time, handed to the cluster, and kept for the others.
//!
//! They travel as records of the `cluster` namespace, one for each node at `audit/NODE`, by the same way as everything
//! else; what a node keeps of others it appends to files of its own, so a later record takes nothing back.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use kvs_audit::audit_log::AuditLog;
use kvs_audit::checkpoint::Checkpoint;
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
    if node.recorder.log().is_none() {
        return;
    }
    let mut ticks = tokio::time::interval(AUDIT_LOOK_INTERVAL);
    let mut seen = HashMap::new();
    let mut tick = 0_u64;
    loop {
        ticks.tick().await;
        tick = tick.wrapping_add(1);
        let working = Arc::clone(&node);
        let looked = tokio::task::spawn_blocking(move || {
            if let Some(log) = working.recorder.log() {
                turn(&working, log, &mut seen, tick);
            }
            seen
        });
        match looked.await {
            Ok(still_seen) => seen = still_seen,
            Err(error) => {
                tracing::error!(%error, "looking after the audit trail ended early");
                return;
            }
        }
    }
}

fn turn(node: &Node, log: &AuditLog, seen: &mut HashMap<Uuid, Uuid>, tick: u64) {
    match log.checkpoint_if_due(node.clock.now_ms()) {
        Ok(Some(checkpoint)) => hand_out(node, &checkpoint),
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "the audit trail cannot be signed"),
    }
    if node.cluster.is_some() && tick.is_multiple_of(AUDIT_PEERS_LOOK_TICKS) {
        keep_of_peers(node, log, seen);
    }
}

/// Writes the node's checkpoint where its peers get it.
fn hand_out(node: &Node, checkpoint: &Checkpoint) {
    let is_member = node.cluster.as_ref().is_some_and(|cluster| cluster.mode() != Mode::Syncing);
    if !is_member || node.vault.identity().joined_ms == JOINED_YOUNGEST_MS {
        return;
    }
    let Ok(path) = Path::parse(&format!("{PREFIX}{}", checkpoint.node)) else { return };
    let content = node.vault.prepare(Bytes::from(checkpoint.encode()));
    let write = Write {
        namespace: Namespace::Cluster,
        path,
        change: Change::Put { content, lifetime: None },
        precondition: Precondition::default(),
        asker: Asker::nobody(),
    };
    if let Err(error) = node.vault.own().commit(vec![write]) {
        tracing::debug!(%error, "a checkpoint of the audit trail is not handed out now");
    }
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
        if let Err(error) = kept {
            tracing::warn!(%peer, error, "a checkpoint of a peer's audit trail is not kept");
        }
    }
}
