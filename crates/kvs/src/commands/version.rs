//! `kvs version`.

use anyhow::Result;

use crate::exit::Exit;
use crate::printer::Printer;

/// Prints name and version, as `kvs --version` does.
pub(super) fn version(printer: &Printer) -> Result<Exit> {
    printer.line(concat!("kvs ", env!("CARGO_PKG_VERSION")))?;
    Ok(Exit::Done)
}
