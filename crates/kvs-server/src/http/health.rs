//! `GET /health` and `GET /ready`: how the node is, for people and for whoever routes traffic to it.
//!
//! `/health` always answers 200 and says in its body how things are; `/ready` says it by its status: 503 once the node is
//! stopping or its disk has failed. A node whose disk is full still serves reads, so it is degraded and ready.

use http::StatusCode;
use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_store::medium::Room;
use kvs_store::shared::{ClockVerdict, State};
use serde::Serialize;

use crate::backups::LastBackups;
use crate::context::Node;
use crate::http::query::Query;
use crate::http::reply::{AnswerBody, Reply};
use crate::problem::{Code, Problem};

#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    mode: &'static str,
    member_count: usize,
    node_id: &'a str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined_timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<Disk>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unrestored_members: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_ahead_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bootstrap: Option<Progress>,
    backup: LastBackups,
}

/// How much room a disk has that has too little.
#[derive(Serialize)]
struct Disk {
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes: Option<u64>,
    needed_bytes: u64,
}

/// How far a node is that fetches what its cluster holds.
#[derive(Serialize)]
struct Progress {
    fetched: u64,
    total: u64,
}

/// Answers `/health`.
pub(crate) fn health(node: &Node, query: Option<&str>) -> Result<Reply, Problem> {
    Query::read(query, &[])?;
    let backup = node.backups.last();
    let (mut reasons, mut disk) = (Vec::new(), None);
    match node.vault.state() {
        State::Open => {}
        State::Full => {
            let Room { free_bytes, needed_bytes } = node.vault.own().room();
            reasons.push("disk_full");
            disk = Some(Disk { free_bytes, needed_bytes });
        }
        State::Poisoned(_) => reasons.push("poisoned"),
    }
    if backup.is_failing() {
        reasons.push("backup_failed");
    }
    if node.is_stopping() {
        reasons.push("stopping");
    }
    if node.recorder.is_awaited() {
        reasons.push("audit_unavailable");
    }
    if node.settings.has_saved_writes {
        reasons.push("unreplicated_writes_saved");
    }
    let (mut member_count, mut bootstrap, mut unrestored_members) = (1, None, Vec::new());
    let mut clock_ahead_ms = None;
    if let Some(cluster) = &node.cluster {
        member_count = cluster.visible().len().max(1);
        bootstrap = cluster.bootstrap().map(|it| Progress { fetched: it.fetched, total: it.total });
        if node.vault.parked() > 0 {
            reasons.push("records_parked");
        }
        unrestored_members = cluster.unrestored().to_vec();
        if !unrestored_members.is_empty() {
            reasons.push("unrestored_member");
        }
        let clock = cluster.clock();
        clock_ahead_ms = Some(clock.ahead_ms).filter(|ms| *ms > 0);
        if clock.is_ahead {
            reasons.push("clock_ahead");
        } else if clock.is_told && clock.verdict == ClockVerdict::Differs {
            reasons.push("clock_differs");
        }
        if cluster.graces_differ() {
            reasons.push("tombstone_grace_differs");
        }
    }
    let joined_ms = node.vault.identity().joined_ms;
    let health = Health {
        status: if reasons.is_empty() { "ok" } else { "degraded" },
        mode: node.mode().name(),
        member_count,
        node_id: &node.settings.node_id,
        version: env!("CARGO_PKG_VERSION"),
        joined_timestamp: (joined_ms != JOINED_YOUNGEST_MS).then_some(joined_ms),
        reasons,
        disk,
        unrestored_members,
        clock_ahead_ms,
        bootstrap,
        backup,
    };
    let body = serde_json::to_vec(&health).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Reply::json(StatusCode::OK, AnswerBody::free(body.into())))
}

/// Answers `/ready`.
pub(crate) fn ready(node: &Node, query: Option<&str>) -> Result<Reply, Problem> {
    Query::read(query, &[])?;
    if node.is_stopping() {
        return Err(Problem::new(Code::Stopping, "the node is stopping"));
    }
    if let State::Poisoned(reason) = node.vault.state() {
        return Err(Problem {
            inner: Some(reason),
            ..Problem::new(Code::Poisoned, "the disk of the node failed")
        });
    }
    Ok(Reply::json(StatusCode::OK, AnswerBody::free(bytes::Bytes::from_static(b"{\"ready\":true}"))))
}
