//! `kvs history`: the versions of a key.

use anyhow::{Context, Result};
use kvs_client::reads::{fetch_version, history as fetch_history};
use kvs_client::writes::restore;

use super::connect::connect;
use crate::args::HistoryArgs;
use crate::exit::Exit;
use crate::printer::Printer;

/// Lists the versions of a key, prints one of them, or brings one back.
pub(super) fn history(args: HistoryArgs, printer: &Printer) -> Result<Exit> {
    let http = connect(args.node)?;
    if let Some(uuid) = &args.restore {
        let written = restore(&http, &args.path, uuid)?;
        if args.json {
            printer.json(&written)?;
        } else {
            printer.line(&format!("restored {} as {}", args.path, written.uuid))?;
        }
    } else if let Some(uuid) = &args.show {
        let version = fetch_version(&http, &args.path, uuid)?;
        if args.json {
            printer.line(version.answer.get())?;
        } else {
            let data = version.data.context("this version holds no value: the key was deleted or expired")?;
            printer.line(data.get())?;
        }
    } else {
        let history = fetch_history(&http, &args.path)?;
        if args.json {
            printer.line(history.answer.get())?;
        } else {
            let rows: Vec<Vec<String>> = history
                .versions
                .iter()
                .map(|version| {
                    vec![
                        version.uuid.clone(),
                        printer.time(version.timestamp),
                        version.op.clone(),
                        version.size.to_string(),
                        version.rule.clone().unwrap_or_else(|| "current".to_owned()),
                    ]
                })
                .collect();
            printer.rows(&["version", "written", "op", "bytes", "lost to"], &rows)?;
        }
    }
    Ok(Exit::Done)
}
