//! The program `kvs`: parses the command line, dispatches, prints and exits. What is done is done by the crates below.

mod args;
mod audit_args;
mod clock;
mod commands;
mod exit;
mod import_rules;
mod printer;
mod tls_args;
mod token_args;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::printer::Printer;

fn main() -> ExitCode {
    let outcome = match Cli::try_parse() {
        Ok(cli) => commands::dispatch::run(cli, &Printer::new()),
        Err(error) => commands::unknown::explain(&error),
    };
    let exit = outcome.unwrap_or_else(|error| {
        if !exit::is_closed_pipe(&error) {
            printer::error(&error);
            if let Some(advice) = exit::advice(&error) {
                printer::note(advice);
            }
        }
        exit::of_error(&error)
    });
    exit.into()
}
