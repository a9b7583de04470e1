//! `/backup`: `POST` makes a backup now, `GET` lists them.
//!
//! Each is `{"file","size_bytes","node_id","node_uuid","created_at_ms","keys","bytes","tombstones","revisions"}`, newest
//! first; a file that cannot be read as one has `file`, `size_bytes` and `problem`. Nothing of a backup travels: the file
//! stays in the node's `backup_path`.

use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use kvs_store::backup::manifest::Manifest;
use serde::Serialize;

use crate::access::visitor::Visitor;
use crate::context::Node;
use crate::http::query::Query;
use crate::http::reply::{AnswerBody, Reply};
use crate::problem::Problem;

#[derive(Serialize)]
struct Shown<'a> {
    file: String,
    size_bytes: u64,
    #[serde(flatten)]
    manifest: Option<ShownManifest<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
}

#[derive(Serialize)]
struct ShownManifest<'a> {
    node_id: &'a str,
    node_uuid: String,
    created_at_ms: u64,
    keys: u64,
    bytes: u64,
    tombstones: u64,
    revisions: u64,
}

impl<'a> Shown<'a> {
    fn new(path: &Path, size_bytes: u64, manifest: Option<&'a Manifest>) -> Self {
        Self {
            file: path.display().to_string(),
            size_bytes,
            manifest: manifest.map(|manifest| ShownManifest {
                node_id: &manifest.node_id,
                node_uuid: manifest.origin.node.to_string(),
                created_at_ms: manifest.created_at_ms,
                keys: manifest.tally.keys,
                bytes: manifest.tally.bytes,
                tombstones: manifest.tally.tombstones,
                revisions: manifest.tally.revisions,
            }),
            problem: manifest.is_none().then_some("it cannot be read as a backup"),
        }
    }
}

/// Answers a request for a backup, once it is made and verified. A caller that goes away does not stop it.
pub(crate) async fn create(
    node: &Arc<Node>,
    visitor: &Visitor,
    query: Option<&str>,
) -> Result<Reply, Problem> {
    Query::read(query, &[])?;
    let store = Arc::clone(node.vault.whole(&visitor.identity.caller())?);
    let making = Arc::clone(node);
    let made = tokio::task::spawn_blocking(move || making.backups.make(&store, &making.clock)).await;
    let verified = made.map_err(|error| Problem::internal(format!("a backup ended early: {error}")))??;
    json(StatusCode::CREATED, &Shown::new(verified.path(), verified.size_bytes(), Some(verified.manifest())))
}

/// Answers a request for the list.
pub(crate) async fn list(node: &Arc<Node>, query: Option<&str>) -> Result<Reply, Problem> {
    Query::read(query, &[])?;
    let listing = Arc::clone(node);
    node.scans
        .run(move || {
            let listed = listing.backups.list()?;
            let shown: Vec<Shown<'_>> = listed
                .iter()
                .map(|listed| Shown::new(&listed.path, listed.size_bytes, listed.manifest.as_ref().ok()))
                .collect();
            json(StatusCode::OK, &shown)
        })
        .await
}

fn json(status: StatusCode, shown: &impl Serialize) -> Result<Reply, Problem> {
    let body = serde_json::to_vec(shown).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Reply::json(status, AnswerBody::free(body.into())))
}
