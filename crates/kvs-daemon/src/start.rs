//! Starting an instance in the background, and waiting until it answers.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use kvs_config::name::instance;

use crate::clock::Deadline;
use crate::error::DaemonError;
use crate::folder::Folder;
use crate::home::{Home, log_name};
use crate::limits::CONNECT_TIMEOUT;
use crate::log::Log;
use crate::probe::{Probe, look, settled, taken};
use crate::record::Announcement;

/// An instance that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Its name: the file name of its configuration.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its `node_id`.
    pub node_id: String,
    /// Its log file.
    pub log: PathBuf,
}

/// The variable that gives clients their token.
const CLIENT_TOKEN: &str = "KVS_TOKEN";

/// Starts `program` with `args` as the daemon of the configuration at `config` (an absolute path as
/// [`Config::source`](kvs_config::config::Config::source) has it), and waits until it announced its address and accepts
/// a connection there.
///
/// `program` is an absolute path. It runs with the environment of the caller but for `KVS_TOKEN`, in the folder `/`, with
/// nothing to read and its output appended to the log; it is expected to call [`detach`](crate::session::detach), then
/// [`acquire`](crate::pidfile::PidFile::acquire) and, once it listens,
/// [`announce`](crate::pidfile::PidFile::announce).
///
/// # Errors
/// [`DaemonError::AlreadyRunning`] or [`DaemonError::OtherFolder`] when an instance of this name runs, also when it won
/// a race; [`DaemonError::Died`] with the last lines of the log when the daemon ended;
/// [`DaemonError::NotAnswering`] when it did not answer within `timeout`, and then it is left running.
pub fn start(
    home: &Home,
    config: &Path,
    program: &Path,
    args: &[OsString],
    timeout: Duration,
) -> Result<Started, DaemonError> {
    let name = instance(config)?;
    let pids = home.made_pids()?;
    if let Probe::Held(record) = look(&pids, &name)? {
        return Err(taken(&name, config, record));
    }
    let mut log = Log::open(&home.made_logs()?, &log_name(&name))?;
    let log_path = home.log_path(&name);
    let mut child = spawn(program, args, &log)?;
    let pid = child.id();
    let deadline = Deadline::after(timeout);
    loop {
        let ended = child.try_wait().map_err(|error| DaemonError::io("wait for", program, error))?;
        if let Some(status) = ended {
            return Err(died(&pids, &name, config, status, &mut log, log_path));
        }
        if let Some(Announcement { address, node_id }) = announced(&pids, &name, &child)?
            && answers(address)
        {
            return Ok(Started { name, pid, address, node_id, log: log_path });
        }
        if !deadline.pause() {
            return Err(DaemonError::NotAnswering { name, pid, waited: timeout, log: log_path });
        }
    }
}

fn spawn(program: &Path, args: &[OsString], log: &Log) -> Result<Child, DaemonError> {
    let failed = |source| DaemonError::Spawn { program: program.to_owned(), source };
    Command::new(program)
        .args(args)
        // The folder that the user is in must stay free to be moved or unmounted.
        .current_dir("/")
        // A client's, which a process that runs for months has no use for and would show to whoever may look at it.
        .env_remove(CLIENT_TOKEN)
        .stdin(Stdio::null())
        .stdout(log.for_child().map_err(failed)?)
        .stderr(log.for_child().map_err(failed)?)
        .spawn()
        .map_err(failed)
}

/// What our child announced, once it has.
fn announced(pids: &Folder, name: &str, child: &Child) -> Result<Option<Announcement>, DaemonError> {
    match look(pids, name)? {
        Probe::Held(record) if record.process.pid == child.id() => Ok(record.announcement),
        _ => Ok(None),
    }
}

/// Whether something accepts connections at `address`, where "all addresses" is tried on the loopback one.
fn answers(address: SocketAddr) -> bool {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    TcpStream::connect_timeout(&SocketAddr::new(ip, address.port()), CONNECT_TIMEOUT).is_ok()
}

/// Why our child ended: another start may have won, otherwise the log knows.
fn died(
    pids: &Folder,
    name: &str,
    config: &Path,
    status: ExitStatus,
    log: &mut Log,
    path: PathBuf,
) -> DaemonError {
    match settled(pids, name) {
        Ok(Probe::Held(record)) => taken(name, config, record),
        // Whatever else the PID file says, the log says why this process ended.
        Ok(_) | Err(_) => match log.tail() {
            Ok(lines) => DaemonError::Died { name: name.to_owned(), status, log: path, lines },
            Err(error) => DaemonError::io("read", &path, error),
        },
    }
}
