//! `kvs parked`: what waits because it is stamped too far ahead, and the order to discard what nobody takes back.

use anyhow::Result;
use kvs_client::parked::{ParkedRecord, discard, parked as fetch_parked};
use serde::Serialize;

use super::connect::connect;
use crate::args::ParkedArgs;
use crate::exit::Exit;
use crate::printer::{Fact, Printer};

#[derive(Serialize)]
struct Discarded<'a> {
    node: &'a str,
    epochs: u64,
}

/// Lists what a node has parked, or discards what one node stamped.
pub(super) fn parked(args: ParkedArgs, printer: &Printer) -> Result<Exit> {
    let http = connect(args.node)?;
    if let Some(node) = &args.discard {
        let epochs = discard(&http, node)?;
        if args.json {
            printer.json(&Discarded { node, epochs })?;
        } else {
            printer.facts(&[Fact::new("discarded epochs", epochs)
                .with_remark("what they stamped ahead is in the histories, with the rule 'recalled'")])?;
        }
        return Ok(Exit::Done);
    }
    let parked = fetch_parked(&http)?;
    if args.json {
        printer.json(&parked)?;
        return Ok(Exit::Done);
    }
    let name_of = |record: &ParkedRecord| {
        let origin = parked.origins.iter().find(|origin| origin.node == record.node);
        let is_alive = origin.is_some_and(|origin| origin.alive);
        let name = origin.and_then(|origin| origin.id.clone()).unwrap_or_else(|| record.node.clone());
        (name, if is_alive { "there" } else { "gone" })
    };
    let rows: Vec<Vec<String>> = parked
        .records
        .iter()
        .map(|record| {
            let (name, standing) = name_of(record);
            vec![
                record.path.clone(),
                record.namespace.clone(),
                record.op.clone(),
                printer.time(record.timestamp),
                name,
                standing.to_owned(),
            ]
        })
        .collect();
    printer.rows(&["path", "namespace", "op", "stamped", "by", "node is"], &rows)?;
    let left_out = parked.count.saturating_sub(parked.records.len() as u64);
    if left_out > 0 {
        crate::printer::note(&format!("{left_out} more are parked"));
    }
    Ok(Exit::Done)
}
