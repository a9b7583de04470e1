//! `/members/`, `/cluster/` and `/sync/`: who is there, how the nodes converge, and what they agree on.

use http::StatusCode;
use hyper::body::Incoming;
use kvs_cluster::report::PeerReport;
use kvs_core::item::root;
use kvs_core::namespace::Namespace;
use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::membership::member::{Member, Status};
use kvs_protocol::mode::Mode;
use kvs_store::clock::Clock;
use kvs_store::error::StoreError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::access::visitor::Visitor;
use crate::cluster::handle::Cluster;
use crate::cluster::to_members::Forgetting;
use crate::context::Node;
use crate::http::body;
use crate::http::copies::patience_of;
use crate::http::query::Query;
use crate::http::reply::{AnswerBody, Reply};
use crate::http::write::bad_json;
use crate::problem::{Code, Problem};

/// Largest body of a request to join, in bytes.
const JOIN_BYTES_MAX: usize = 4096;

#[derive(Serialize)]
struct MemberAnswer<'a> {
    id: &'a str,
    uuid: String,
    address: &'a str,
    last_seen: u64,
    joined_timestamp: Option<u64>,
    status: &'static str,
    mode: &'static str,
}

/// Answers `GET /members/`.
pub(crate) fn members(node: &Node, query: Option<&str>) -> Result<Reply, Problem> {
    Query::read(query, &[])?;
    let view = node.cluster.as_ref().map(|cluster| cluster.view()).unwrap_or_default();
    if view.visible.is_empty() {
        return json(&[alone(node)]);
    }
    json(&view.visible.iter().map(answer_of).collect::<Vec<_>>())
}

fn answer_of(member: &Member) -> MemberAnswer<'_> {
    MemberAnswer {
        id: &member.node_id,
        uuid: member.node.to_string(),
        address: &member.address,
        last_seen: member.last_seen_ms,
        joined_timestamp: joined(member.joined_ms),
        status: member.status.name(),
        mode: member.mode.name(),
    }
}

/// A node without a cluster is the only member of its own.
fn alone(node: &Node) -> MemberAnswer<'_> {
    let identity = node.vault.identity();
    MemberAnswer {
        id: &node.settings.node_id,
        uuid: identity.origin.node.to_string(),
        address: &node.settings.address,
        last_seen: node.clock.now_ms(),
        joined_timestamp: joined(identity.joined_ms),
        status: "alive",
        mode: node.mode().name(),
    }
}

fn joined(joined_ms: u64) -> Option<u64> {
    (joined_ms != JOINED_YOUNGEST_MS).then_some(joined_ms)
}

/// Answers `POST /members/join`.
pub(crate) async fn join(
    node: &Node,
    visitor: &Visitor,
    query: Option<&str>,
    headers: &http::HeaderMap,
    body: Incoming,
) -> Result<Reply, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Join {
        address: String,
    }
    let query = Query::read(query, &["wait"])?;
    let patience = query.value("wait").map(|text| patience_of("wait", text)).transpose()?;
    body::expect_json(headers)?;
    let cluster = cluster(node)?;
    let body = body::read(headers, body, JOIN_BYTES_MAX, &node.budget).await?;
    node.vault.expect_good(visitor)?;
    let join: Join = serde_json::from_slice(&body.bytes).map_err(|error| bad_json(&error))?;
    let has_port = join
        .address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if !has_port || join.address.len() > 255 || join.address.chars().any(char::is_control) {
        return Err(Problem::new(Code::BadJson, "address takes host:port of a node of the cluster"));
    }
    cluster.join(join.address.clone()).await;
    let Some(patience) = patience else { return Ok(Reply::empty(StatusCode::ACCEPTED)) };
    match cluster.joined(&join.address, patience).await {
        Ok(view) => json(&view.visible.iter().map(answer_of).collect::<Vec<_>>()),
        Err(reason) => {
            let address = join.address;
            let detail =
                format!("no node of a cluster answered at {address}: {reason}; this node goes on trying");
            Err(Problem::new(Code::NotJoined, detail))
        }
    }
}

/// Answers `POST /members/forget`.
pub(crate) async fn forget(
    node: &Node,
    visitor: &Visitor,
    query: Option<&str>,
    headers: &http::HeaderMap,
    body: Incoming,
) -> Result<Reply, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Forget {
        id: String,
    }
    Query::read(query, &[])?;
    body::expect_json(headers)?;
    let cluster = cluster(node)?;
    let body = body::read(headers, body, JOIN_BYTES_MAX, &node.budget).await?;
    node.vault.expect_good(visitor)?;
    let forget: Forget = serde_json::from_slice(&body.bytes).map_err(|error| bad_json(&error))?;
    match cluster.forget(forget.id).await.ok_or_else(stopping)? {
        Forgetting::Done => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        Forgetting::Unknown => {
            Err(Problem::new(Code::NotFound, "there is no other member of this name or uuid"))
        }
        Forgetting::Alive => {
            Err(Problem::new(Code::Conflict, "this member answers: stop it, or let it leave, and ask again"))
        }
    }
}

/// Answers `POST` and `DELETE /members/leave`.
pub(crate) async fn leave(node: &Node, query: Option<&str>) -> Result<Reply, Problem> {
    Query::read(query, &[])?;
    cluster(node)?.leave().await;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

fn cluster(node: &Node) -> Result<&Arc<Cluster>, Problem> {
    running(node)?.ok_or_else(|| {
        Problem::new(Code::NotFound, "this node works alone (clustering_enabled: false): it has no cluster")
    })
}

/// The cluster that this node takes part in; `None` for a node alone.
fn running(node: &Node) -> Result<Option<&Arc<Cluster>>, Problem> {
    match &node.cluster {
        Some(cluster) if !cluster.is_running() => Err(Problem::new(
            Code::NotReady,
            "the node takes no part in its cluster before its disk has room; /health says how much",
        )),
        cluster => Ok(cluster.as_ref()),
    }
}

/// Answers `GET /sync/merkle/root`. May read some hundred records.
pub(crate) fn merkle_root(node: &Node, visitor: &Visitor, query: Option<&str>) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Root {
        root: String,
        count: u64,
    }
    let query = Query::read(query, &["prefix"])?;
    let digest = node.vault.whole(&visitor.identity.caller())?.digest();
    let sum = match query.value("prefix") {
        None | Some("") => digest.lasting(),
        Some(prefix) => digest.prefix(Namespace::Data, prefix.strip_prefix('/').unwrap_or(prefix).as_bytes()),
    };
    let sum = sum.map_err(unread)?;
    let count = match query.value("prefix") {
        // Users ask for their data; what the cluster keeps beside it is in the root alone.
        None | Some("") => digest.prefix(Namespace::Data, b"").map_err(unread)?.count,
        Some(_) => sum.count,
    };
    let root = root(&node.root_key, b"", &sum);
    json(&Root { root: root.iter().map(|byte| format!("{byte:02x}")).collect(), count })
}

fn unread(error: StoreError) -> Problem {
    match error {
        StoreError::DigestUnread => {
            Problem::new(Code::NotReady, "the node still reads its records in; ask again in a moment")
        }
        other => Problem::from(other),
    }
}

#[derive(Serialize)]
struct PeerAnswer {
    id: String,
    uuid: String,
    address: String,
    status: &'static str,
    mode: &'static str,
    reachable: bool,
    equal: Option<bool>,
    lag_ms: Option<u64>,
    lag_records: Option<u64>,
    clock_offset_ms: Option<i64>,
    parked: u64,
    waits_for: Vec<&'static str>,
}

/// What keeps a peer from holding what this node holds, in words for programs: nothing for one that does.
fn waits_for(peer: &PeerReport, skew_ms: u64) -> Vec<&'static str> {
    let mut words = Vec::new();
    let mut add = |is_so: bool, word: &'static str| {
        if is_so {
            words.push(word);
        }
    };
    let answers = matches!(peer.status, Status::Alive | Status::Suspect) && peer.lag_records.is_some();
    add(!answers, "an_answer");
    add(peer.mode == Mode::Syncing, "its_bootstrap");
    add(answers && peer.lag_records.is_some_and(|records| records > 0), "the_log");
    add(peer.clock_offset_ms.is_some_and(|offset| offset.unsigned_abs() > skew_ms), "a_right_clock");
    add(peer.parked > 0, "parked_records");
    add(answers && peer.equal == Some(false), "a_comparison");
    words
}

/// Answers `GET /cluster/convergence`.
pub(crate) async fn convergence(node: &Node, query: Option<&str>) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Fetching {
        fetched: u64,
        total: u64,
    }
    #[derive(Serialize)]
    struct Sessions {
        held: u64,
        repaired: u64,
        failed: u64,
        records: u64,
        dropped: u64,
    }
    #[derive(Serialize)]
    struct Convergence {
        node_id: String,
        uuid: String,
        mode: &'static str,
        parked: u64,
        peers: Vec<PeerAnswer>,
        #[serde(skip_serializing_if = "Option::is_none")]
        bootstrap: Option<Fetching>,
        sessions: Sessions,
    }
    Query::read(query, &[])?;
    let report = match running(node)? {
        Some(cluster) => cluster.report().await.ok_or_else(stopping)?,
        None => kvs_cluster::report::Report::default(),
    };
    let skew_ms = node.vault.own().clock_skew_ms_max();
    let peers = report.peers.into_iter().map(|peer| PeerAnswer {
        reachable: peer.lag_records.is_some() && peer.status == Status::Alive,
        waits_for: waits_for(&peer, skew_ms),
        id: peer.node_id,
        uuid: peer.node.to_string(),
        address: peer.address,
        status: peer.status.name(),
        mode: peer.mode.name(),
        equal: peer.equal,
        lag_ms: peer.lag_ms,
        lag_records: peer.lag_records,
        clock_offset_ms: peer.clock_offset_ms,
        parked: peer.parked,
    });
    let sessions = report.sessions;
    json(&Convergence {
        node_id: node.settings.node_id.clone(),
        uuid: node.vault.identity().origin.node.to_string(),
        mode: node.mode().name(),
        parked: node.vault.parked(),
        peers: peers.collect(),
        bootstrap: report.bootstrap.map(|it| Fetching { fetched: it.fetched, total: it.total }),
        sessions: Sessions {
            held: sessions.held,
            repaired: sessions.repaired,
            failed: sessions.failed,
            records: sessions.records,
            dropped: sessions.dropped,
        },
    })
}

/// Answers `GET /cluster/tombstones`.
pub(crate) async fn tombstones(
    node: &Node,
    visitor: &Visitor,
    query: Option<&str>,
) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Blocker {
        id: String,
        status: &'static str,
        tombstones: u64,
    }
    #[derive(Serialize)]
    struct Tombstones {
        count: u64,
        looked_at: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        oldest: Option<u64>,
        grace_ms: u64,
        blocked_by: Vec<Blocker>,
    }
    Query::read(query, &[])?;
    let count = node.vault.whole(&visitor.identity.caller())?.tombstones();
    let report = match running(node)? {
        Some(cluster) => cluster.tombstones().await.ok_or_else(stopping)?.map_err(Problem::from)?,
        None => kvs_cluster::report::TombstoneReport::default(),
    };
    let blocked_by = report.blocked_by.into_iter().map(|blocker| Blocker {
        id: blocker.node_id,
        status: blocker.status.name(),
        tombstones: blocker.tombstones,
    });
    json(&Tombstones {
        count,
        looked_at: report.looked_at,
        oldest: report.oldest_ms,
        grace_ms: node.settings.tombstone_grace_ms,
        blocked_by: blocked_by.collect(),
    })
}

fn stopping() -> Problem {
    Problem::new(Code::Stopping, "the node is stopping")
}

fn json<T: Serialize + ?Sized>(answer: &T) -> Result<Reply, Problem> {
    let body = serde_json::to_vec(answer).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Reply::json(StatusCode::OK, AnswerBody::free(body.into())))
}
