//! `kvs backup`: make, list and verify backups.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use kvs_client::backup::create as ask_for_backup;
use kvs_client::progress::Progress;
use kvs_store::backup::list::{Listed, list as list_backups};
use kvs_store::backup::manifest::Manifest;
use kvs_store::backup::progress::Step;
use kvs_store::backup::verify::verify as verify_backup;
use serde::Serialize;

use super::connect::connect_within;
use super::settings;
use crate::args::{BackupArgs, BackupCommand, BackupCreateArgs, BackupListArgs, BackupVerifyArgs};
use crate::exit::Exit;
use crate::printer::{Fact, Printer};

/// How long the node may take for a backup unless told otherwise.
const BACKUP_TIMEOUT: Duration = Duration::from_secs(3600);

/// A backup as JSON.
#[derive(Serialize)]
struct BackupAnswer<'a> {
    file: String,
    size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstones: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revisions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl<'a> BackupAnswer<'a> {
    fn new(path: &Path, size_bytes: u64, manifest: Result<&'a Manifest, String>) -> Self {
        let (manifest, problem) = match manifest {
            Ok(manifest) => (Some(manifest), None),
            Err(problem) => (None, Some(problem)),
        };
        let tally = manifest.map(|manifest| manifest.tally);
        Self {
            file: path.display().to_string(),
            size_bytes,
            node_id: manifest.map(|manifest| manifest.node_id.as_str()),
            node_uuid: manifest.map(|manifest| manifest.origin.node.to_string()),
            created_at_ms: manifest.map(|manifest| manifest.created_at_ms),
            keys: tally.map(|tally| tally.keys),
            bytes: tally.map(|tally| tally.bytes),
            tombstones: tally.map(|tally| tally.tombstones),
            revisions: tally.map(|tally| tally.revisions),
            problem,
        }
    }
}

/// Does what is asked for about backups.
pub(super) fn backup(args: BackupArgs, printer: &Printer) -> Result<Exit> {
    match args.command {
        None => create(args.create, printer),
        Some(BackupCommand::Create(args)) => create(args, printer),
        Some(BackupCommand::List(args)) => list(&args, printer),
        Some(BackupCommand::Verify(args)) => verify(&args, printer),
    }
}

fn create(args: BackupCreateArgs, printer: &Printer) -> Result<Exit> {
    let (made, answer) = ask_for_backup(&connect_within(args.node, BACKUP_TIMEOUT)?)?;
    if args.json {
        printer.line(answer.get())?;
    } else {
        printer.line(&format!("made {}", made.file))?;
        printer.facts(&[
            Fact::new("keys", made.keys),
            Fact::new("bytes", made.bytes).with_remark("of their values as sent"),
            Fact::new("tombstones", made.tombstones).with_remark("deleted and expired keys"),
            Fact::new("revisions", made.revisions).with_remark("former versions"),
            Fact::new("size", made.size_bytes).with_remark("bytes of the file"),
        ])?;
    }
    Ok(Exit::Done)
}

fn list(args: &BackupListArgs, printer: &Printer) -> Result<Exit> {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => settings::read(args.config.as_deref())?.backup_path,
    };
    let listed = list_backups(&dir)?;
    if args.json {
        let answers: Vec<BackupAnswer<'_>> = listed.iter().map(answer).collect();
        printer.json(&answers)?;
    } else if listed.is_empty() {
        printer.line(&format!("no backups in {}", dir.display()))?;
    } else {
        let rows: Vec<Vec<String>> = listed.iter().map(|listed| row(listed, printer)).collect();
        printer.rows(&["file", "node", "made", "keys", "size", ""], &rows)?;
    }
    Ok(Exit::Done)
}

fn verify(args: &BackupVerifyArgs, printer: &Printer) -> Result<Exit> {
    let progress = Progress::over_bytes(None);
    let outcome = verify_backup(&args.file, &mut |now| {
        progress.show_part(now.done_bytes, now.total_bytes, step_name(now.step));
    });
    progress.clear();
    let verified = outcome?;
    if args.json {
        printer.json(&BackupAnswer::new(verified.path(), verified.size_bytes(), Ok(verified.manifest())))?;
    } else {
        printer.line(&format!("{} is whole", verified.path().display()))?;
        printer.facts(&manifest_facts(verified.manifest(), printer))?;
    }
    Ok(Exit::Done)
}

/// What a backup holds.
pub(super) fn manifest_facts(manifest: &Manifest, printer: &Printer) -> Vec<Fact> {
    let tally = manifest.tally;
    vec![
        Fact::new("node", &manifest.node_id),
        Fact::new("made", printer.time(manifest.created_at_ms)),
        Fact::new("keys", tally.keys),
        Fact::new("bytes", tally.bytes).with_remark("of their values as sent"),
        Fact::new("tombstones", tally.tombstones).with_remark("deleted and expired keys"),
        Fact::new("revisions", tally.revisions).with_remark("former versions"),
    ]
}

/// What is being done, for the progress bar.
pub(super) const fn step_name(step: Step) -> &'static str {
    match step {
        Step::Write => "writing",
        Step::Verify => "verifying",
        Step::Load => "loading",
        Step::Index => "indexing",
    }
}

fn answer(listed: &Listed) -> BackupAnswer<'_> {
    BackupAnswer::new(&listed.path, listed.size_bytes, listed.manifest.as_ref().map_err(ToString::to_string))
}

fn row(listed: &Listed, printer: &Printer) -> Vec<String> {
    let file = listed.path.display().to_string();
    let size = listed.size_bytes.to_string();
    match &listed.manifest {
        Ok(manifest) => vec![
            file,
            manifest.node_id.clone(),
            printer.time(manifest.created_at_ms),
            manifest.tally.keys.to_string(),
            size,
            String::new(),
        ],
        Err(error) => vec![file, "-".into(), "-".into(), "-".into(), size, error.to_string()],
    }
}
