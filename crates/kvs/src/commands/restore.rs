//! `kvs restore`: a backup becomes the data directory of a new node.

use std::path::{Path, PathBuf};

use anyhow::Result;
use kvs_client::progress::Progress;
use kvs_server::clock::SystemClock;
use kvs_store::backup::restore::restore as restore_backup;
use kvs_store::settings::Settings;
use serde::Serialize;

use super::backup::{manifest_facts, step_name};
use super::settings;
use crate::args::RestoreArgs;
use crate::exit::{Exit, UsageError};
use crate::printer::{Fact, Printer};

/// The result as JSON.
#[derive(Serialize)]
struct RestoreAnswer {
    data_dir: String,
    node_uuid: String,
    keys: u64,
    bytes: u64,
    tombstones: u64,
    revisions: u64,
}

/// Makes a data directory from a backup.
pub(super) fn restore(args: &RestoreArgs, printer: &Printer) -> Result<Exit> {
    let (data_dir, settings) = target(args)?;
    let progress = Progress::over_bytes(None);
    let outcome = restore_backup(&args.file, &data_dir, &settings, &SystemClock::start(), &mut |now| {
        progress.show_part(now.done_bytes, now.total_bytes, step_name(now.step));
    });
    progress.clear();
    let restored = outcome?;
    let node_uuid = restored.identity.origin.node.to_string();
    if args.json {
        let tally = restored.manifest.tally;
        printer.json(&RestoreAnswer {
            data_dir: data_dir.display().to_string(),
            node_uuid,
            keys: tally.keys,
            bytes: tally.bytes,
            tombstones: tally.tombstones,
            revisions: tally.revisions,
        })?;
    } else {
        printer.line(&format!("restored {} into {}", args.file.display(), data_dir.display()))?;
        let mut facts = manifest_facts(&restored.manifest, printer);
        facts.push(Fact::new("new uuid", node_uuid));
        printer.facts(&facts)?;
    }
    Ok(Exit::Done)
}

/// Where to, and how the store keeps it there.
fn target(args: &RestoreArgs) -> Result<(PathBuf, Settings)> {
    match (&args.data_dir, &args.config) {
        (Some(data_dir), _) => Ok((data_dir.clone(), Settings::default())),
        (None, Some(config)) => {
            let config = settings::read(Some(Path::new(config)))?;
            let settings = Settings { compression_level: config.compression, ..Settings::default() };
            Ok((config.data_dir, settings))
        }
        (None, None) => Err(UsageError("name --data-dir or --config".to_owned()).into()),
    }
}
