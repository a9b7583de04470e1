//! What a node answers to its peers' calls: stateless, from the store alone.

use std::sync::Arc;

use bytes::Bytes;
use kvs_core::log_position::LogPosition;
use kvs_core::origin::born_s;
use kvs_core::vector::Vector;
use kvs_protocol::call::{CallKind, Now};
use kvs_protocol::mode::Mode;
use kvs_protocol::reconcile::answer::{answer, compared_root};
use kvs_protocol::reconcile::fingerprint::Secrets;
use kvs_protocol::reconcile::request::Request;
use kvs_protocol::wire::keyed_record::KeyedRecord;
use kvs_protocol::wire::page::{PageOf, PageReply, PageRequest};
use kvs_protocol::wire::replicate::{ReplicateReply, ReplicateRequest};
use kvs_protocol::wire::status::{StatusReply, StatusRequest};
use kvs_store::commit::mark::Mark;
use kvs_store::commit::write::Transaction;
use kvs_store::error::StoreError;
use kvs_store::read::pages::{Age, RecordPage, record_page};
use kvs_store::standing::Standing;
use kvs_store::store::Store;
use uuid::Uuid;

use crate::error::ServeError;
use crate::limits::PAGE;
use crate::receive;
use crate::store_holdings::StoreHoldings;

/// Answers a call of `from`, committing what it brings. Blocks for as long as the disk takes.
///
/// # Errors
///
/// [`ServeError`]; what was committed stays, and making the call again is safe.
pub fn serve(
    store: &Store,
    secrets: &Secrets,
    mode: Mode,
    from: Uuid,
    kind: CallKind,
    body: &Bytes,
    now: Now,
) -> Result<Bytes, ServeError> {
    match kind {
        CallKind::Replicate => replicate(store, from, body, now),
        CallKind::Status => status(store, secrets, mode, from, StatusRequest::decode(body)?, now),
        CallKind::Page => page(store, &PageRequest::decode(body)?),
        CallKind::Sync => {
            let request =
                Request::decode(body).map_err(|error| ServeError::MalformedSession(error.to_string()))?;
            let mut holdings = StoreHoldings::new(store, now.wall_ms);
            let reply = answer(&mut holdings, secrets, request)?;
            Ok(reply.encode().into())
        }
        // Each takes more than the store: membership, and calls of others.
        CallKind::Swim | CallKind::Members | CallKind::Relay => Err(ServeError::Elsewhere),
    }
}

fn replicate(store: &Store, from: Uuid, body: &Bytes, now: Now) -> Result<Bytes, ServeError> {
    let request = ReplicateRequest::decode(body)?;
    let ReplicateRequest { from: went_on_from, start_local_seq, to, left_out, mut claim, records } = request;
    if store.standing().vector.marker(from) > born_s(to.epoch) {
        // To this node that epoch is one that ended long ago, and all of it counts as received. Nothing is judged by that: the
        // sender is told, and begins another epoch.
        let (standing, vector) = told(store, from, now);
        let cursor = standing.cursors.get(&from).copied();
        return Ok(ReplicateReply { cursor, vector: vector.of_node(from), drops: Vec::new() }
            .encode()
            .into());
    }
    let received = receive::receive(records);
    if received.unfit > 0 {
        claim = Vector::default();
    }
    let marks = vec![Mark::Advance { peer: from, from: went_on_from, start_local_seq, to, left_out, claim }];
    let outcomes = store.commit(Transaction { writes: received.writes, marks })?;
    let drops = receive::outlived(body, &outcomes)?;
    let (standing, vector) = told(store, from, now);
    let cursor = standing.cursors.get(&from).copied();
    // What is parked was received and is not held: whoever waits for its write must not be told that it is here.
    Ok(ReplicateReply { cursor, vector: vector.of_node(from), drops }.encode().into())
}

/// Where this node stands, and what it tells a peer that it holds. While it has stamps that are ahead of its own clock and not
/// recalled yet, it may show them in place of what it received, and so tells nothing of the peer's own writes.
fn told(store: &Store, from: Uuid, now: Now) -> (Arc<Standing>, Vector) {
    let (standing, mut vector) = store.told();
    if store.top_ms() > now.wall_ms.saturating_add(store.clock_skew_ms_max()) {
        vector.replace_node(from, &Vector::default());
    }
    (standing, vector)
}

fn status(
    store: &Store,
    secrets: &Secrets,
    mode: Mode,
    from: Uuid,
    request: StatusRequest,
    now: Now,
) -> Result<Bytes, ServeError> {
    let floor_ms = kvs_core::item::floor_ms(now.wall_ms, now.wall_ms).max(request.floor_ms);
    let key = secrets.session(&request.nonce);
    // A node that has just started reads its digest in; everything else about it is known.
    let root = match compared_root(&mut StoreHoldings::new(store, now.wall_ms), &key, floor_ms) {
        Ok(root) => Some(root),
        Err(StoreError::DigestUnread) => None,
        Err(error) => return Err(error.into()),
    };
    let (standing, vector) = told(store, from, now);
    let reply = StatusReply {
        mode,
        wall_ms: now.wall_ms,
        floor_ms,
        root,
        parked: standing.parked,
        grace_ms: store.tombstone_grace_ms(),
        parked_epochs: standing.parked_dots.epochs_of(from).collect(),
        cursor: standing.cursors.get(&from).copied(),
        heard: standing.heard_of(from).map(|heard| heard.into_iter().collect()),
        vector,
    };
    Ok(reply.encode().into())
}

fn page(store: &Store, request: &PageRequest) -> Result<Bytes, ServeError> {
    // Before the page is read, so that the page shows everything that is claimed.
    let vector = store.claim();
    let log_end = LogPosition { epoch: store.identity().origin.epoch, local_seq: store.last_local_seq() };
    let after = (!request.after.is_empty()).then(|| request.after.clone());
    let age = match request.of {
        PageOf::Nothing => None,
        PageOf::Recent => Some(Age::Since(request.moment_ms)),
        PageOf::Older => Some(Age::Before(request.moment_ms)),
    };
    let page = match age {
        Some(age) => record_page(&store.view()?, after, age, PAGE)?,
        None => RecordPage::default(),
    };
    let records = page
        .records
        .into_iter()
        .map(|(key, record)| KeyedRecord { namespace: key.namespace, path: key.path, record })
        .collect();
    let last = page.last.unwrap_or_default();
    Ok(PageReply { log_end, vector, keys: store.keys(), last, records }.encode().into())
}
