//! `kvs members`: who is in the cluster, and how far each member is.

use anyhow::Result;
use kvs_client::members::{Member, members as fetch_members};

use super::connect::connect;
use crate::args::MembersArgs;
use crate::exit::Exit;
use crate::printer::Printer;

/// Lists the members as the asked node sees them.
pub(super) fn members(args: MembersArgs, printer: &Printer) -> Result<Exit> {
    let http = connect(args.node)?;
    let members = fetch_members(&http)?;
    if args.json {
        printer.json(&members)?;
    } else {
        let rows: Vec<Vec<String>> = members.iter().map(row).collect();
        let heads =
            ["node", "address", "status", "mode", "lag", "records behind", "equal", "clock", "waits for"];
        printer.rows(&heads, &rows)?;
    }
    Ok(Exit::Done)
}

fn row(member: &Member) -> Vec<String> {
    let known = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let standing = member.standing.as_ref();
    let equal = match (member.asked, standing.and_then(|it| it.equal)) {
        (true, _) => Some("(asked)".to_owned()),
        (false, equal) => equal.map(|is_equal| if is_equal { "yes" } else { "no" }.to_owned()),
    };
    vec![
        member.id.clone(),
        member.address.clone(),
        member.status.clone(),
        member.mode.clone(),
        known(standing.and_then(|it| it.lag_ms).map(|ms| format!("{ms} ms"))),
        known(standing.and_then(|it| it.lag_records).map(|records| records.to_string())),
        known(equal),
        known(standing.and_then(|it| it.clock_offset_ms).map(|ms| format!("{ms:+} ms"))),
        known(standing.map(|it| it.waits_for.join(", ").replace('_', " ")).filter(|it| !it.is_empty())),
    ]
}
