//! `kvs get`, `kvs put` and `kvs rm`: one key.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use kvs_client::error::ClientError;
use kvs_client::limits::VALUE_BYTES_MAX;
use kvs_client::reads::fetch;
use kvs_client::writes::{self, Condition, Effect, Written};
use serde::Serialize;

use super::connect::connect;
use crate::args::{GetArgs, PutArgs, RemoveArgs};
use crate::exit::{Exit, UsageError};
use crate::printer::Printer;

/// Prints a value's bytes, or the node's whole answer.
pub(super) fn get(args: GetArgs, printer: &Printer) -> Result<Exit> {
    let fetched = fetch(&connect(args.node)?, &args.path)?;
    if args.json {
        printer.json(&fetched)?
    } else {
        printer.line(fetched.data.get())?
    }
    Ok(Exit::Done)
}

/// Writes a value.
pub(super) fn put(args: PutArgs, printer: &Printer) -> Result<Exit> {
    #[derive(Serialize)]
    struct Answer<'a> {
        effect: Effect,
        #[serde(flatten)]
        written: &'a Written,
    }
    let value = read_value(args.value)?;
    let condition = match (args.if_match, args.if_none_match) {
        (Some(uuid), _) => Condition::VersionIs(uuid),
        (None, true) => Condition::Absent,
        (None, false) => Condition::Always,
    };
    let http = connect(args.node)?;
    let (effect, written) = writes::put(&http, &args.path, &value, args.ttl.as_deref(), &condition)?;
    if args.json {
        printer.json(&Answer { effect, written: &written })?;
    } else {
        let verb = match effect {
            Effect::Created => "created",
            Effect::Replaced => "replaced",
        };
        printer.line(&format!("{verb} {} ({})", args.path, written.uuid))?;
    }
    Ok(Exit::Done)
}

/// Deletes a key or a subtree.
pub(super) fn remove(args: RemoveArgs, printer: &Printer) -> Result<Exit> {
    #[derive(Serialize)]
    struct Answer {
        deleted: u64,
    }
    let http = connect(args.node)?;
    let deleted = if args.recursive {
        writes::remove_subtree(&http, &args.path)?
    } else {
        let condition = args.if_match.map_or(Condition::Always, Condition::VersionIs);
        writes::remove(&http, &args.path, &condition)?;
        1
    };
    if args.json {
        printer.json(&Answer { deleted })?;
    } else if args.recursive {
        let keys = if deleted == 1 { "key" } else { "keys" };
        printer.line(&format!("deleted {deleted} {keys}: {} and what was below it", args.path))?;
    } else {
        printer.line(&format!("deleted {}", args.path))?;
    }
    Ok(Exit::Done)
}

/// The text of the value: the argument itself, a file's, or standard input's.
fn read_value(argument: Option<String>) -> Result<String> {
    match argument.as_deref() {
        None if io::stdin().is_terminal() => {
            Err(UsageError("name a value, or `-` to type it and end it with Ctrl-D".to_owned()).into())
        }
        None | Some("-") => read_bounded(io::stdin().lock(), Path::new("standard input")),
        Some(text) => match text.strip_prefix('@') {
            Some(name) => {
                let path = PathBuf::from(name);
                let file =
                    File::open(&path).map_err(|source| ClientError::Read { path: path.clone(), source })?;
                read_bounded(file, &path)
            }
            None => Ok(text.to_owned()),
        },
    }
}

fn read_bounded(input: impl Read, name: &Path) -> Result<String> {
    let unreadable = |source| ClientError::Read { path: name.to_owned(), source };
    let mut text = String::new();
    let read = input.take(VALUE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if read as u64 > VALUE_BYTES_MAX {
        return Err(ClientError::ValueTooLong { bytes_max: VALUE_BYTES_MAX }.into());
    }
    Ok(text)
}
