//! Who is in the cluster, and how far each member is: `GET /members/` joined with `GET /cluster/convergence`.
//!
//! The list says who is there; the convergence says how the peers stand to the node that was asked. The two answers are
//! of two moments: a member may be in one of them alone, and then the other half of its line is not known.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::http::Method;

use crate::error::ClientError;
use crate::http::{Http, Request};

/// A member as the asked node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its `node_id`.
    pub id: String,
    /// Its uuid.
    pub uuid: String,
    /// Where it is reached, `host:port`.
    pub address: String,
    /// Whether it is the node that was asked, to which no lag applies.
    pub asked: bool,
    /// `alive`, `suspect`, `failed` or `left`.
    pub status: String,
    /// `normal`, `read-only` or `syncing`.
    pub mode: String,
    /// When it was last heard of, in milliseconds since 1970.
    pub last_seen: u64,
    /// When it joined, in milliseconds since 1970; `None` before it has.
    pub joined_timestamp: Option<u64>,
    /// How it stands to the asked node; `None` for that node itself, and where it is not known.
    pub standing: Option<Standing>,
}

/// How a peer stands to the asked node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whether the last comparison of the roots found them equal; `None` before the first.
    pub equal: Option<bool>,
    /// For how long the asked node has had a change that the peer has not acknowledged; `None` when that is not known.
    pub lag_ms: Option<u64>,
    /// How many rows of its log those are.
    pub lag_records: Option<u64>,
    /// The peer's clock minus the asked node's, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// Records that the peer has parked because they are stamped too far ahead.
    pub parked: u64,
    /// What keeps the peer from holding what the asked node holds: `an_answer`, `its_bootstrap`, `the_log`, `a_right_clock`,
    /// `parked_records`, `a_comparison`.
    pub waits_for: Vec<String>,
}

/// A line of `/members/`.
#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
    uuid: String,
    address: String,
    last_seen: u64,
    joined_timestamp: Option<u64>,
    status: String,
    mode: String,
}

/// What is read of `/cluster/convergence`.
#[derive(Debug, Deserialize)]
struct Convergence {
    uuid: String,
    peers: Vec<Peer>,
}

/// A peer there.
#[derive(Debug, Deserialize)]
struct Peer {
    uuid: String,
    #[serde(flatten)]
    standing: Standing,
}

/// Asks a node for the members of its cluster, in the order in which the node lists them.
///
/// # Errors
///
/// What the node said, or [`ClientError::ForeignAnswer`].
pub fn members(http: &Http) -> Result<Vec<Member>, ClientError> {
    let listed: Vec<Listed> = read(http, "/members/")?;
    let convergence: Convergence = read(http, "/cluster/convergence")?;
    Ok(join(listed, convergence))
}

fn read<T: DeserializeOwned>(http: &Http, resource: &str) -> Result<T, ClientError> {
    let answer = http.send(&Request::new(Method::GET, resource.to_owned()))?;
    serde_json::from_slice(&answer.body).map_err(|error| http.foreign(error))
}

fn join(listed: Vec<Listed>, convergence: Convergence) -> Vec<Member> {
    let Convergence { uuid: own, peers } = convergence;
    // Two members may have one name, as one that was replaced does.
    let mut standings: BTreeMap<String, Standing> =
        peers.into_iter().map(|peer| (peer.uuid, peer.standing)).collect();
    let member = |listed: Listed| {
        let Listed { id, uuid, address, last_seen, joined_timestamp, status, mode } = listed;
        let (asked, standing) = (uuid == own, standings.remove(&uuid));
        Member { id, uuid, address, asked, status, mode, last_seen, joined_timestamp, standing }
    };
    listed.into_iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::{Convergence, Listed, Standing, join};

    fn listed(ids: &[&str]) -> Vec<Listed> {
        let line = |id: &&str| {
            format!(
                r#"{{"id":"n","uuid":"{id}","address":"a:1","last_seen":7,"joined_timestamp":null,
                    "status":"alive","mode":"normal"}}"#
            )
        };
        let lines: Vec<String> = ids.iter().map(line).collect();
        serde_json::from_str(&format!("[{}]", lines.join(","))).expect("members")
    }

    #[test]
    fn each_member_gets_the_standing_of_its_uuid_and_the_asked_node_none() {
        let convergence: Convergence = serde_json::from_str(
            r#"{"node_id":"n","uuid":"a","mode":"normal","parked":0,"sessions":{},"peers":[{"id":"n","uuid":"b","address":"a:1",
                "status":"alive","mode":"normal","reachable":true,"equal":true,"lag_ms":3,"lag_records":2,
                "clock_offset_ms":-4,"parked":1,"waits_for":["the_log","parked_records"]}]}"#,
        )
        .expect("a convergence");
        let members = join(listed(&["a", "b", "c"]), convergence);
        let asked: Vec<bool> = members.iter().map(|member| member.asked).collect();
        assert_eq!(asked, [true, false, false]);
        let standing = Standing {
            equal: Some(true),
            lag_ms: Some(3),
            lag_records: Some(2),
            clock_offset_ms: Some(-4),
            parked: 1,
            waits_for: vec!["the_log".to_owned(), "parked_records".to_owned()],
        };
        let standings: Vec<_> = members.into_iter().map(|member| member.standing).collect();
        assert_eq!(standings, [None, Some(standing), None]);
    }
}
