//! `GET /health` and `GET /ready`: how the node is, for people and for whoever routes traffic to it.
//!
//! `/health` always answers 200 and says in its body how things are; `/ready` says it by its status: 503 once the node is
//! stopping or its disk has failed, and while it has less than its cluster. A node whose disk is full still serves reads, so it
//! is degraded and ready.

use http::StatusCode;
use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::membership::contract::SeedReport;
use kvs_protocol::membership::member::Member;
use kvs_protocol::mode::Mode;
use kvs_store::clock_verdict::ClockVerdict;
use kvs_store::medium::Room;
use kvs_store::shared::State;
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ghosts: Vec<Ghost>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreachable_seeds: Vec<UnreachableSeed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_ahead_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bootstrap: Option<Progress>,
    backup: LastBackups,
}

/// What is left of a machine that was replaced.
#[derive(Serialize)]
struct Ghost {
    id: String,
    uuid: String,
    address: String,
}

/// An address of a cluster at which nobody answers.
#[derive(Serialize)]
struct UnreachableSeed {
    address: String,
    reason: String,
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
    let (mut ghosts, mut unreachable_seeds) = (Vec::new(), Vec::new());
    let mut clock_ahead_ms = None;
    let joined_ms = node.vault.identity().joined_ms;
    if let Some(cluster) = &node.cluster {
        let view = cluster.view();
        member_count = view.living().max(1);
        ghosts = view.ghosts.iter().map(ghost).collect();
        if !ghosts.is_empty() {
            reasons.push("ghost_members");
        }
        unreachable_seeds = view.unreachable_seeds().iter().map(unreachable).collect();
        if !unreachable_seeds.is_empty() {
            reasons.push("seeds_unreachable");
        }
        match cluster.mode() {
            Mode::Left => reasons.push("left"),
            Mode::Syncing => {}
            _ if joined_ms == JOINED_YOUNGEST_MS => reasons.push("not_admitted"),
            _ => {}
        }
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
        ghosts,
        unreachable_seeds,
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
    match node.mode() {
        Mode::Syncing => {
            return Err(Problem::new(Code::Syncing, "the node does not hold yet what its cluster holds"));
        }
        Mode::Left => return Err(Problem::new(Code::Left, "the node has left its cluster")),
        Mode::Normal | Mode::ReadOnly | Mode::ClockAhead => {}
    }
    Ok(Reply::json(StatusCode::OK, AnswerBody::free(bytes::Bytes::from_static(b"{\"ready\":true}"))))
}

fn ghost(member: &Member) -> Ghost {
    Ghost { id: member.node_id.clone(), uuid: member.node.to_string(), address: member.address.clone() }
}

fn unreachable(seed: &SeedReport) -> UnreachableSeed {
    let reason = seed.failure.clone().unwrap_or_else(|| "there was no answer yet".to_owned());
    UnreachableSeed { address: seed.address.clone(), reason }
}
