//! Records that wait because they are stamped too far ahead: `GET /cluster/parked` and the order to discard them.

use serde::{Deserialize, Serialize};
use ureq::http::Method;

use crate::error::ClientError;
use crate::http::{Http, Request};

/// What a node has parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// How many records.
    pub count: u64,
    /// Who stamped them.
    pub origins: Vec<ParkedOrigin>,
    /// The earliest of them, at most 1,000.
    pub records: Vec<ParkedRecord>,
}

/// A node that stamped parked records, in one of its epochs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedOrigin {
    /// Its uuid.
    pub node: String,
    /// Its `node_id`; `None` for one that is not among the members.
    pub id: Option<String>,
    /// Whether it is there, and so takes back itself what it stamped ahead.
    pub alive: bool,
    /// The epoch.
    pub epoch: String,
    /// The latest stamp, in milliseconds since 1970.
    pub latest: u64,
}

/// A parked record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedRecord {
    /// `data`, `meta`, `auth` or `cluster`.
    pub namespace: String,
    /// Its path.
    pub path: String,
    /// Its version.
    pub uuid: String,
    /// What it is stamped, in milliseconds since 1970.
    pub timestamp: u64,
    /// `put`, `delete` or `expire`.
    pub op: String,
    /// The uuid of the node that stamped it.
    pub node: String,
    /// In which epoch.
    pub epoch: String,
}

/// Asks a node what it has parked.
///
/// # Errors
///
/// What the node said, or [`ClientError::ForeignAnswer`].
pub fn parked(http: &Http) -> Result<Parked, ClientError> {
    let answer = http.send(&Request::new(Method::GET, "/cluster/parked?limit=1000".to_owned()))?;
    serde_json::from_slice(&answer.body).map_err(|error| http.foreign(error))
}

/// Makes void everywhere what a node that does not come back stamped ahead; answers in how many epochs.
///
/// # Errors
///
/// What the node said, or [`ClientError::ForeignAnswer`].
pub fn discard(http: &Http, node: &str) -> Result<u64, ClientError> {
    #[derive(Serialize)]
    struct Order<'a> {
        node: &'a str,
    }
    #[derive(Deserialize)]
    struct Discarded {
        epochs: u64,
    }
    let body = serde_json::to_vec(&Order { node }).map_err(|error| http.foreign(error))?;
    let request = Request::new(Method::POST, "/cluster/parked/discard".to_owned()).with_body(&body);
    let answer = http.send(&request)?;
    let discarded: Discarded = serde_json::from_slice(&answer.body).map_err(|error| http.foreign(error))?;
    Ok(discarded.epochs)
}
