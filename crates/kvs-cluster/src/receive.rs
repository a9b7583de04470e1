//! Records from a peer: decoded, checked against their digest, made writes.

use bytes::Bytes;
use kvs_core::digest::ContentDigest;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_core::record::{Kind, Record};
use kvs_core::record_codec;
use kvs_protocol::wire::decode_error::DecodeError;
use kvs_protocol::wire::keyed_record::{KeyedRecord, KeyedVersion};
use kvs_protocol::wire::replicate::ReplicateRequest;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Outcome, Write};
use kvs_store::compression;
use kvs_store::error::StoreError;
use kvs_store::store::Store;

/// Records that are fit to be merged.
pub(crate) struct Received {
    /// One for each fit record.
    pub(crate) writes: Vec<Write>,
    /// Whether some were not: then what came with them must not be claimed.
    pub(crate) unfit: usize,
}

/// Decodes records and checks what they hold. One that is damaged is left out and told to the log; anti-entropy fetches it
/// from a node whose copy is sound.
pub(crate) fn receive(records: Vec<KeyedRecord>) -> Received {
    let mut received = Received { writes: Vec::with_capacity(records.len()), unfit: 0 };
    for keyed in records {
        let KeyedRecord { namespace, path, record } = keyed;
        let checked = record_codec::decode(namespace, &path, &record)
            .map_err(|error| error.to_string())
            .and_then(check_content);
        match checked {
            Ok(record) => received.writes.push(write(namespace, path, Change::Merge(Box::new(record)))),
            Err(reason) => {
                tracing::error!(%path, %reason, "a record from a peer is damaged and was left out");
                received.unfit += 1;
            }
        }
    }
    received
}

/// The payload says what the digest says, and can be read within its bound.
pub(crate) fn check_content(record: Record) -> Result<Record, String> {
    if record.kind.is_placeholder() {
        return Err("it is no version of anything".into());
    }
    if record.kind == Kind::Value {
        let json = compression::decompress(&record.payload)?;
        if ContentDigest::of(&json) != record.digest {
            return Err("its content is not what its digest says".into());
        }
    }
    Ok(record)
}

/// The versions of a message that its sender must forget. Seldom any: so the message is read again then, instead of
/// being kept beside its writes each time.
pub(crate) fn outlived(message: &Bytes, outcomes: &[Outcome]) -> Result<Vec<KeyedVersion>, DecodeError> {
    if !outcomes.contains(&Outcome::Outlived) {
        return Ok(Vec::new());
    }
    let received = receive(ReplicateRequest::decode(message)?.records);
    let pairs = received.writes.into_iter().zip(outcomes);
    Ok(pairs
        .filter(|(_, outcome)| **outcome == Outcome::Outlived)
        .filter_map(|(write, _)| match write.change {
            Change::Merge(record) => {
                Some(KeyedVersion { namespace: write.namespace, path: write.path, version: record.version })
            }
            _ => None,
        })
        .collect())
}

/// The writes that forget these versions.
pub(crate) fn drops(versions: Vec<KeyedVersion>) -> Vec<Write> {
    versions
        .into_iter()
        .map(|KeyedVersion { namespace, path, version }| write(namespace, path, Change::Drop(version)))
        .collect()
}

/// Forgets versions at a peer's word, and says so; answers how many were still held. Each stays in the history of its key.
///
/// # Errors
///
/// Nothing can be written; nothing is forgotten.
pub(crate) fn forget(store: &Store, versions: Vec<KeyedVersion>) -> Result<usize, StoreError> {
    let paths: Vec<_> = versions.iter().map(|keyed| keyed.path.clone()).collect();
    let outcomes = store.commit(drops(versions))?;
    let mut dropped = 0_usize;
    for (path, _) in paths.iter().zip(outcomes).filter(|(_, outcome)| *outcome == Outcome::Dropped) {
        dropped += 1;
        tracing::debug!(%path, "deleted elsewhere while this node was away");
    }
    if dropped > 0 {
        tracing::warn!(
            versions = dropped,
            "deleted elsewhere while this node was away: they are in the histories of their keys (rule \
             deleted_elsewhere), from which they can be restored"
        );
    }
    Ok(dropped)
}

/// A write at a peer's word: without a condition, and nobody is its author beside whom the record names.
pub(crate) fn write(namespace: Namespace, path: Path, change: Change) -> Write {
    Write { namespace, path, change, precondition: Precondition::default(), asker: Asker::nobody() }
}
