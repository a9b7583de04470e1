//! What a node does that its cluster has forgotten: it saves its own writes that nobody else has, and begins again empty.
//!
//! While it was away the others collected tombstones without asking it, so what it holds may be long deleted; nothing of
//! it may come back by itself, and nothing may be lost in silence. What it held stays beside the new store until
//! somebody removes it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::Bound;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use kvs_core::namespace::Namespace;
use kvs_core::record::Kind;
use kvs_core::vector::Vector;
use kvs_store::data_dir;
use kvs_store::engine::contract::Order;
use kvs_store::error::StoreError;
use kvs_store::keys::read_record_key;
use kvs_store::row::Row;
use kvs_store::store::Store;
use kvs_store::table::Table;
use serde::Serialize;
use serde_json::value::RawValue;

/// The beginning of the names of files with saved writes.
const SAVED_PREFIX: &str = "unreplicated-";

/// How often the folder is tried until the last user of the store has let go of it.
const LOOKS_MAX: u32 = 100;
/// The pause between two tries.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    data: &'a RawValue,
    uuid: String,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

/// Saves the node's own values that `known` does not cover as `unreplicated-<time>.jsonl` in the data directory, in the
/// format of `kvs import`; answers the file, or `None` when there are none.
///
/// # Errors
///
/// The records cannot be read or the file not be written; the store is as it was.
pub(crate) fn save_own(
    store: &Store,
    known: &Vector,
    data_dir: &FilePath,
    now_ms: u64,
) -> Result<Option<PathBuf>, StoreError> {
    let path = data_dir.join(format!("{SAVED_PREFIX}{now_ms}.jsonl"));
    let failed = |source| StoreError::File { operation: "write", path: path.clone(), source };
    let own = store.identity().origin.node;
    let mut file: Option<BufWriter<File>> = None;
    let (mut saved, mut deletes) = (0_u64, 0_u64);
    let view = store.view()?;
    for stored in view.range(Table::Records, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
        let (row_key, value) = stored?;
        let key = read_record_key(&row_key)
            .ok_or_else(|| StoreError::corrupt(Table::Records.name(), &row_key, "it cannot be read"))?;
        let record = Row::decode(&key, &value)?.record;
        let is_own = key.namespace == Namespace::Data && record.dot.origin.node == own;
        if record.kind.is_placeholder() || !is_own || known.covers(&record.dot) || record.has_expired(now_ms)
        {
            continue;
        }
        if record.kind != Kind::Value {
            deletes += 1;
            continue;
        }
        let json = store.json(&record)?;
        let data: &RawValue = serde_json::from_slice(&json)
            .map_err(|error| StoreError::corrupt(Table::Records.name(), &row_key, error.to_string()))?;
        let line = Line {
            path: key.path.as_str(),
            data,
            uuid: record.version.uuid.to_string(),
            timestamp: record.version.stamp.ms,
            expires_at: (record.expires_at_ms != 0).then_some(record.expires_at_ms),
        };
        let out = match &mut file {
            Some(out) => out,
            None => file.insert(BufWriter::new(File::create_new(&path).map_err(failed)?)),
        };
        serde_json::to_writer(&mut *out, &line).map_err(|error| failed(error.into()))?;
        out.write_all(b"\n").map_err(failed)?;
        saved += 1;
    }
    if deletes > 0 {
        tracing::warn!(deletes, "deletes that no other node has are not kept");
    }
    let Some(out) = file else { return Ok(None) };
    let written = out.into_inner().map_err(|error| failed(error.into_error()))?;
    written.sync_all().map_err(failed)?;
    tracing::warn!(saved, file = %path.display(), "writes that no other node has were saved; see them, then import them");
    Ok(Some(path))
}

/// Puts what the closed store held aside, so that the node begins empty and as another one.
///
/// # Errors
///
/// It cannot be renamed; everything is as it was.
pub(crate) fn begin_again(data_dir: &FilePath, now_ms: u64) -> Result<(), StoreError> {
    let word = format!("forgotten-{now_ms}");
    let mut looks = 0;
    let aside = loop {
        match data_dir::set_engine_aside(data_dir, &word) {
            // A task that has not noticed the end yet still holds the store.
            Err(StoreError::InUse(_)) if looks < LOOKS_MAX => {
                looks += 1;
                std::thread::sleep(LOOK_PAUSE);
            }
            ended => break ended?,
        }
    };
    tracing::warn!(
        kept = %aside.display(),
        "the cluster has forgotten this node: it begins again, empty and under a new identity; remove what it held when \
         nobody needs it"
    );
    Ok(())
}

/// Whether saved writes wait for somebody to look at them.
pub(crate) fn has_saved(data_dir: &FilePath) -> bool {
    let names = fs::read_dir(data_dir).into_iter().flatten().flatten().map(|found| found.file_name());
    names.into_iter().any(|name| name.to_string_lossy().starts_with(SAVED_PREFIX))
}
