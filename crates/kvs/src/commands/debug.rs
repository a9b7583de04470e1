//! `kvs debug`: what is hard to meet by chance, prepared.

use std::path::Path as FilePath;

use anyhow::Result;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_server::clock::SystemClock;
use kvs_store::clock::Clock as _;
use kvs_store::observer::Key;
use kvs_store::rehearsal::{Side, prepare};
use serde::Serialize;

use crate::args::{ConflictArgs, DebugCommand};
use crate::exit::Exit;
use crate::printer::Printer;

/// The key that the two nodes disagree about.
const KEY: &str = "test/conflict/data";

/// What each node has written there.
const VALUES: [&str; 2] =
    [r#"{"message":"written by the older node"}"#, r#"{"message":"written by the younger node"}"#];

/// What becomes of a version when the nodes meet.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Fate {
    /// It stays.
    Wins,
    /// It goes to the history.
    Loses,
}

/// One directory as JSON.
#[derive(Serialize)]
struct SideAnswer<'a> {
    data_dir: &'a FilePath,
    node_uuid: String,
    path: &'static str,
    uuid: String,
    timestamp: u64,
    data: &'static str,
    fate: Fate,
}

/// Prepares what is asked for.
pub(super) fn debug(command: &DebugCommand, printer: &Printer) -> Result<Exit> {
    match command {
        DebugCommand::Conflict(args) => conflict(args, printer),
    }
}

/// Makes two data directories that disagree.
fn conflict(args: &ConflictArgs, printer: &Printer) -> Result<Exit> {
    let dirs: [&FilePath; 2] = [&args.dir_a, &args.dir_b];
    let key = Key { namespace: Namespace::Data, path: Path::parse(KEY)? };
    let now_ms = SystemClock::start().now_ms();
    let [older, younger] = prepare(dirs, &key, VALUES.map(|json| json.as_bytes().into()), now_ms)?;
    let answers =
        [answer(dirs[0], &older, VALUES[0], Fate::Wins), answer(dirs[1], &younger, VALUES[1], Fate::Loses)];
    if args.json {
        printer.json(&answers)?;
        return Ok(Exit::Done);
    }
    for SideAnswer { data_dir, data, .. } in &answers {
        printer.line(&format!("{}: {KEY} = {data}", data_dir.display()))?;
    }
    printer.line(&format!(
        "both are written at {} ({now_ms} ms); when their nodes meet, {} wins because its node joined earlier, and the \
         other value goes to the history",
        printer.time(now_ms),
        dirs[0].display(),
    ))?;
    Ok(Exit::Done)
}

fn answer<'a>(data_dir: &'a FilePath, side: &Side, data: &'static str, fate: Fate) -> SideAnswer<'a> {
    SideAnswer {
        data_dir,
        node_uuid: side.node.to_string(),
        path: KEY,
        uuid: side.written.version.uuid.to_string(),
        timestamp: side.written.version.stamp.ms,
        data,
        fate,
    }
}
