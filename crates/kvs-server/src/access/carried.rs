//! Revocations that outlive what a forgotten node held.
//!
//! A node that its cluster has forgotten begins again empty. A revocation that was made on it while it was cut off was
//! answered and may be known to nobody else, so it must not go with the rest: revocations are saved beside the old store,
//! refused from the first moment of the new one, and written again as soon as the node is a member. They only ever add
//! up, so writing one that is known changes nothing.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read as _};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kvs_auth::accounts::place::Place;
use kvs_auth::limits::ACCOUNT_BYTES_MAX;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::mode::Mode;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Write};
use kvs_store::engine::contract::Order;
use kvs_store::error::StoreError;
use kvs_store::read::range::{self, PageRow, RangeQuery};
use kvs_store::store::Store;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::access::guard::Accounts;
use crate::context::Node;
use crate::limits::CARRIED_LOOK_INTERVAL;

const FILE: &str = "carried-revocations.jsonl";

/// Records that are read or written at once.
const PAGE_ROWS: usize = 1000;

/// Longest line of the file, in bytes: a record of accounts and its path.
const LINE_BYTES_MAX: u64 = ACCOUNT_BYTES_MAX as u64 + 1024;

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    path: String,
    #[serde(borrow)]
    record: &'a RawValue,
}

fn file(data_dir: &FilePath) -> PathBuf {
    data_dir.join(FILE)
}

/// Saves the revocations of a store; what an earlier life saved and could not hand over is among them.
///
/// # Errors
///
/// The records cannot be read or the file not be written.
pub(crate) fn save(store: &Store, data_dir: &FilePath, now_ms: u64) -> Result<(), StoreError> {
    let path = file(data_dir);
    let failed = |source| StoreError::File { operation: "write", path: path.clone(), source };
    let beside = path.with_extension("new");
    let mut out = BufWriter::new(File::create(&beside).map_err(failed)?);
    for (key, json) in read(data_dir).map_err(failed)? {
        put_line(&mut out, &key, &json).map_err(failed)?;
    }
    let view = store.view()?;
    let mut query = RangeQuery {
        namespace: Namespace::Auth,
        start: Bytes::new(),
        end: Bytes::new(),
        prefix: Bytes::new(),
        delimiter: None,
        limit: PAGE_ROWS,
        order: Order::Ascending,
        after: None,
    };
    loop {
        let page = range::page(&view, &query, now_ms)?;
        for row in &page.rows {
            let PageRow::Key(key, record) = row else { continue };
            if matches!(Place::parse(key.as_str()), Some(Place::Revoked(_) | Place::Floor { .. })) {
                put_line(&mut out, key, &store.json(record)?).map_err(failed)?;
            }
        }
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    let written = out.into_inner().map_err(|error| failed(error.into_error()))?;
    written.sync_all().map_err(failed)?;
    fs::rename(&beside, &path).map_err(failed)
}

fn put_line(out: &mut impl io::Write, key: &Path, json: &[u8]) -> io::Result<()> {
    let record: &RawValue = serde_json::from_slice(json)?;
    serde_json::to_writer(&mut *out, &Line { path: key.as_str().to_owned(), record })?;
    out.write_all(b"\n")
}

/// The revocations that were saved; a line that cannot be read is passed over with an error in the log.
fn read(data_dir: &FilePath) -> io::Result<Vec<(Path, Bytes)>> {
    let mut lines = match File::open(file(data_dir)) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (mut found, mut text) = (Vec::new(), String::new());
    loop {
        text.clear();
        if lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut text)? == 0 {
            return Ok(found);
        }
        let line: Result<Line<'_>, _> = serde_json::from_str(&text);
        match line.ok().and_then(|line| Some((Path::parse(&line.path).ok()?, line.record.get().to_owned()))) {
            Some((path, record)) => found.push((path, Bytes::from(record))),
            None => tracing::error!(file = FILE, "a line of the saved revocations cannot be read"),
        }
    }
}

/// Refuses from now on what was saved.
///
/// # Errors
///
/// The file is there and cannot be read.
pub(crate) fn learn(data_dir: &FilePath, accounts: &Accounts) -> io::Result<()> {
    for (path, json) in read(data_dir)? {
        accounts.learn(path.as_str(), Some(&json));
    }
    Ok(())
}

/// Writes what was saved once the node is a member, so that all learn it, and then lets go of the file.
pub(crate) async fn hand_over(node: Arc<Node>, data_dir: PathBuf) {
    let mut ticks = tokio::time::interval(CARRIED_LOOK_INTERVAL);
    while file(&data_dir).exists() {
        ticks.tick().await;
        let mode = node.mode();
        let is_member = mode != Mode::Syncing && node.vault.identity().joined_ms != JOINED_YOUNGEST_MS;
        if node.cluster.is_some() && !is_member {
            continue;
        }
        let (writing, dir) = (Arc::clone(&node), data_dir.clone());
        match tokio::task::spawn_blocking(move || write(writing.vault.own(), &dir)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "saved revocations cannot be written yet"),
            Err(error) => tracing::warn!(%error, "writing saved revocations ended early"),
        }
    }
}

fn write(store: &Store, data_dir: &FilePath) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { operation: "read", path: file(data_dir), source };
    let saved = read(data_dir).map_err(failed)?;
    for some in saved.chunks(PAGE_ROWS) {
        let put = |(path, json): &(Path, Bytes)| Write {
            namespace: Namespace::Auth,
            path: path.clone(),
            change: Change::Put { content: store.prepare(json.clone()), lifetime: None },
            precondition: Precondition::default(),
            asker: Asker::nobody(),
        };
        store.commit(some.iter().map(put).collect::<Vec<_>>())?;
    }
    fs::remove_file(file(data_dir)).map_err(failed)
}
