//! `kvs start`, `stop`, `restart` and `status`: instances in the background.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kvs_config::config::Config;
use kvs_config::name::{instance, resolve};
use kvs_daemon::error::DaemonError;
use kvs_daemon::home::Home;
use kvs_daemon::limits::{START_TIMEOUT, STOP_TIMEOUT};
use kvs_daemon::start::{Started, start as start_instance};
use kvs_daemon::status::{InstanceStatus, State, status as status_of_all, status_of};
use kvs_daemon::stop::stop as stop_instance;
use kvs_server::honesty::listen_address;
use serde::Serialize;

use super::settings::{self, config_path};
use crate::args::{DAEMON, ServiceArgs};
use crate::exit::Exit;
use crate::printer::Printer;

/// What a start says as JSON.
#[derive(Serialize)]
struct StartAnswer<'a> {
    name: &'a str,
    state: &'static str,
    pid: u32,
    address: SocketAddr,
    node_id: &'a str,
    log: &'a Path,
}

/// What a stop says as JSON, and the status of an instance that left nothing.
#[derive(Serialize)]
struct StopAnswer<'a> {
    name: &'a str,
    state: &'static str,
}

/// Starts an instance and waits until it answers.
pub(super) fn start(args: ServiceArgs, printer: &Printer) -> Result<Exit> {
    let config = settings::load(args.config.as_deref())?;
    print_started(&config, &launch(&config)?, args.json, printer)?;
    Ok(Exit::Done)
}

/// Asks an instance to end and waits until it is gone.
pub(super) fn stop(args: ServiceArgs, printer: &Printer) -> Result<Exit> {
    let path = config_path(args.config.as_deref())?;
    let stopped = stop_instance(&home()?, &path, STOP_TIMEOUT)?;
    if args.json {
        printer.json(&StopAnswer { name: &stopped.name, state: "stopped" })?;
    } else {
        printer.line(&format!("stopped {} (pid {})", stopped.name, stopped.pid))?;
    }
    Ok(Exit::Done)
}

/// Stops an instance if it runs, and starts it. A configuration that cannot be used is refused before anything stops.
pub(super) fn restart(args: ServiceArgs, printer: &Printer) -> Result<Exit> {
    let config = settings::load(args.config.as_deref())?;
    match stop_instance(&home()?, &config.source, STOP_TIMEOUT) {
        Ok(_) | Err(DaemonError::NotRunning { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    print_started(&config, &launch(&config)?, args.json, printer)?;
    Ok(Exit::Done)
}

/// Says whether an instance runs, or which ones do.
pub(super) fn status(args: ServiceArgs, printer: &Printer) -> Result<Exit> {
    let home = home()?;
    let Some(given) = args.config else {
        let instances = status_of_all(&home)?;
        if args.json {
            printer.json(&instances)?;
        } else if instances.is_empty() {
            printer.line("no instance is running")?;
        } else {
            print_instances(&instances, printer)?;
        }
        return Ok(if instances.iter().any(runs) { Exit::Done } else { Exit::NotRunning });
    };
    let path = resolve(&given)?;
    let name = instance(&path)?;
    match status_of(&home, &path)? {
        Some(instance) => {
            if args.json {
                printer.json(&instance)?;
            } else {
                print_instances(std::slice::from_ref(&instance), printer)?;
            }
            Ok(if runs(&instance) { Exit::Done } else { Exit::NotRunning })
        }
        None => {
            if args.json {
                printer.json(&StopAnswer { name: &name, state: "stopped" })?;
            } else {
                printer.line(&format!("{name} is not running"))?;
            }
            Ok(Exit::NotRunning)
        }
    }
}

/// Where the node of a configuration listens: what its PID file says while it runs, else where it would listen.
pub(super) fn listening(config: &Config) -> Option<SocketAddr> {
    let running = home().and_then(|home| Ok(status_of(&home, &config.source)?));
    let address = running.ok().flatten().and_then(|instance| instance.address);
    address.or_else(|| (config.port != 0).then(|| listen_address(config)))
}

/// The user's home folder, in which PID files and logs are kept.
pub(super) fn home() -> Result<Home> {
    Ok(Home::from_env(&|name| std::env::var_os(name))?)
}

fn launch(config: &Config) -> Result<Started> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let args = [OsString::from(DAEMON), config.source.clone().into_os_string()];
    Ok(start_instance(&home()?, &config.source, &program, &args, START_TIMEOUT)?)
}

fn print_started(config: &Config, started: &Started, as_json: bool, printer: &Printer) -> Result<()> {
    let Started { name, pid, address, node_id, log } = started;
    if as_json {
        printer.json(&StartAnswer { name, state: "running", pid: *pid, address: *address, node_id, log })?;
    } else {
        printer.line(&format!("started {name} (pid {pid}) at {}", url(Some(config), *address)))?;
    }
    Ok(())
}

/// How clients reach an instance. One whose configuration cannot be read any more is taken for one without TLS.
fn url(config: Option<&Config>, address: SocketAddr) -> String {
    let has_tls = config.is_some_and(|config| config.tls_cert.is_some());
    format!("{}://{address}", if has_tls { "https" } else { "http" })
}

fn print_instances(instances: &[InstanceStatus], printer: &Printer) -> Result<()> {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = instances
        .iter()
        .map(|instance| {
            vec![
                instance.name.clone(),
                state(instance).to_owned(),
                text(instance.pid.map(|pid| pid.to_string())),
                text(instance.address.map(|address| {
                    let config = instance.config.as_deref().and_then(|path| settings::read(Some(path)).ok());
                    url(config.as_ref(), address)
                })),
                text(instance.node_id.clone()),
                text(instance.started_at_ms.map(|at_ms| printer.time(at_ms))),
                text(instance.config.as_ref().map(|config: &PathBuf| config.display().to_string())),
                instance.problem.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let titles = ["name", "state", "pid", "address", "node", "since", "configuration", ""];
    Ok(printer.rows(&titles, &rows)?)
}

const fn state(instance: &InstanceStatus) -> &'static str {
    match instance.state {
        State::Running => "running",
        State::Starting => "starting",
        State::Stale => "stale",
        State::Unknown => "unknown",
    }
}

const fn runs(instance: &InstanceStatus) -> bool {
    matches!(instance.state, State::Running | State::Starting)
}
