//! From the command line to the command.

use anyhow::Result;

use super::{
    audit, backup, check, debug, history, list, members, parked, restore, run, service, tls, token, transfer,
    value, version,
};
use crate::args::{Cli, Command};
use crate::exit::Exit;
use crate::printer::Printer;

/// Runs what the command line asks for.
pub(crate) fn run(cli: Cli, printer: &Printer) -> Result<Exit> {
    match cli.command {
        None => run::foreground(cli.config.as_deref()),
        Some(Command::Start(args)) => service::start(args, printer),
        Some(Command::Stop(args)) => service::stop(args, printer),
        Some(Command::Restart(args)) => service::restart(args, printer),
        Some(Command::Status(args)) => service::status(args, printer),
        Some(Command::Daemon { config }) => run::daemon(&config),
        Some(Command::Get(args)) => value::get(args, printer),
        Some(Command::Put(args)) => value::put(args, printer),
        Some(Command::Rm(args)) => value::remove(args, printer),
        Some(Command::Ls(args)) => list::list(args, printer),
        Some(Command::History(args)) => history::history(args, printer),
        Some(Command::Members(args)) => members::members(args, printer),
        Some(Command::Parked(args)) => parked::parked(args, printer),
        Some(Command::Token(args)) => token::token(args, printer),
        Some(Command::Import(args)) => transfer::import(args, printer),
        Some(Command::Export(args)) => transfer::export(args, printer),
        Some(Command::Backup(args)) => backup::backup(args, printer),
        Some(Command::Restore(args)) => restore::restore(&args, printer),
        Some(Command::Check(args)) => check::check(&args, printer),
        Some(Command::Audit { command }) => audit::audit(&command, printer),
        Some(Command::Tls { command }) => tls::tls(&command, printer),
        Some(Command::Debug { command }) => debug::debug(&command, printer),
        Some(Command::Version) => version::version(printer),
    }
}
