//! Running a node in this process: in the foreground, or as the daemon that `start` started.

use std::path::Path;

use anyhow::Result;
use kvs_config::config::Config;
use kvs_config::variables::unknown;
use kvs_daemon::error::DaemonError;
use kvs_daemon::pidfile::PidFile;
use kvs_daemon::session::detach;
use kvs_server::node::run_until_signal;

use super::service::home;
use super::settings;
use super::unknown::refuse_typo;
use crate::exit::Exit;
use crate::printer;

/// Runs the node of a configuration until it is told to stop. Where no PID file can be kept (no home folder, or one that
/// cannot be written) it runs without one, and `status` and `stop` do not know it.
pub(super) fn foreground(given: Option<&Path>) -> Result<Exit> {
    if let Some(given) = given {
        refuse_typo(given)?;
    }
    let config = settings::load(given)?;
    let pid_file = match home().and_then(|home| Ok(PidFile::acquire(&home, &config.source)?)) {
        Ok(pid_file) => Some(pid_file),
        Err(error) => match error.downcast_ref() {
            Some(DaemonError::NoHome | DaemonError::Io { .. }) => {
                printer::note(&format!("running without a PID file: {error}"));
                None
            }
            _ => return Err(error),
        },
    };
    run(&config, pid_file)
}

/// Runs the node of a configuration as the process that [`kvs_daemon::start`] waits for.
pub(super) fn daemon(config: &Path) -> Result<Exit> {
    detach()?;
    let config = settings::load(Some(config))?;
    let pid_file = PidFile::acquire(&home()?, &config.source)?;
    run(&config, Some(pid_file))
}

fn run(config: &Config, mut pid_file: Option<PidFile>) -> Result<Exit> {
    let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    for wrong in unknown(names.iter().map(String::as_str)) {
        printer::note(&wrong);
    }
    run_until_signal(config, |address| {
        if let Some(pid_file) = &mut pid_file
            && let Err(error) = pid_file.announce(address, &config.node_id)
        {
            // It serves all the same; only `start` and `status` do not learn where.
            printer::note(&format!("the PID file could not be completed: {error}"));
        }
    })?;
    Ok(Exit::Done)
}
