//! A target that is running and answers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::bench::client;
use crate::bench::dialect::Dialect;
use crate::bench::figures::Target;
use crate::bench::process::Process;
use crate::bench::procfs;
use crate::bench::values::Documents;
use crate::clock;

/// How long a server may take until it answers; a node with a million keys to recover is the slowest.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a starting server is asked. Short, because the time to the first answer is measured with it.
const POLL: Duration = Duration::from_micros(500);

/// The first port that is tried, and how many are.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// Keys that are read back and compared before the measuring.
const SPOT_CHECKS: u64 = 10;

/// How a server is started.
pub(crate) struct Recipe {
    /// Which target it is.
    pub(crate) target: Target,
    /// How it is asked.
    pub(crate) dialect: Dialect,
    /// The program's path.
    pub(crate) program: std::path::PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// The port on 127.0.0.1 that the arguments or the configuration name.
    pub(crate) port: u16,
    /// A request whose successful answer means that it is ready.
    pub(crate) probe: Vec<u8>,
}

/// A running server.
pub(crate) struct Server {
    /// Which target it is.
    pub(crate) target: Target,
    /// How it is asked.
    pub(crate) dialect: Dialect,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) process: Process,
    /// The process of the server behind it, whose CPU time counts as its own.
    pub(crate) backend_pid: Option<u32>,
    /// From the start of the process to the first answer.
    pub(crate) started_in: Duration,
}

impl Server {
    /// Starts a server in `folder` (which must exist) and waits until it answers its probe.
    ///
    /// # Errors
    ///
    /// It ended, or did not answer within [`PATIENCE`]; it is not running afterwards.
    pub(crate) fn start(recipe: &Recipe, folder: &Path) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, recipe.port));
        let begin = clock::now();
        let mut process = Process::start(&recipe.program, &recipe.arguments, folder)?;
        loop {
            let answer = client::fetch(address, recipe.dialect.protocol(), &recipe.probe);
            let started_in = begin.elapsed();
            if answer.as_ref().is_ok_and(|(answer, _)| answer.success) {
                let Recipe { target, dialect, .. } = *recipe;
                return Ok(Self { target, dialect, address, process, backend_pid: None, started_in });
            }
            process.check_alive()?;
            if started_in > PATIENCE {
                let last =
                    answer.map_or_else(|error| format!("{error:#}"), |(answer, _)| format!("{answer:?}"));
                bail!("it did not answer within {} s: {last}; {}", PATIENCE.as_secs(), process.last_lines());
            }
            thread::sleep(POLL);
        }
    }

    /// The CPU time it has used, with that of the server behind it.
    ///
    /// # Errors
    ///
    /// A process is gone.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        let own = procfs::cpu_time(self.process.pid())?;
        let behind = self.backend_pid.map(procfs::cpu_time).transpose()?;
        Ok(own + behind.unwrap_or_default())
    }

    /// Reads some keys back and compares them with the values that were written.
    ///
    /// # Errors
    ///
    /// A key is missing or holds other bytes.
    pub(crate) fn spot_check(&self, documents: &Documents, keys: u64) -> anyhow::Result<()> {
        for number in (0..SPOT_CHECKS).map(|step| step * keys.saturating_sub(1) / (SPOT_CHECKS - 1)) {
            let mut request = Vec::new();
            self.dialect.write_get(number, &mut request);
            let (answer, bytes) = client::fetch(self.address, self.dialect.protocol(), &request)?;
            let value = self.dialect.value_as_answered(documents.document(number));
            let found = bytes.windows(value.len()).any(|window| window == value.as_ref());
            if !answer.success || !found {
                bail!("key {number} does not hold what was written (status {})", answer.status);
            }
        }
        Ok(())
    }
}

/// Different ports on 127.0.0.1 that are free now.
///
/// They lie below the range from which the kernel takes the ports of outgoing connections: no connection of the load
/// generator can take the port of a server that starts later.
///
/// # Errors
///
/// Too few ports are free.
pub(crate) fn free_ports<const COUNT: usize>() -> anyhow::Result<[u16; COUNT]> {
    let mut ports = [0; COUNT];
    let mut listeners = Vec::with_capacity(COUNT);
    // Begins at a place that differs between runs.
    let offset = u16::try_from(std::process::id() % u32::from(PORTS)).unwrap_or(0);
    let mut candidates = (0..PORTS).map(|step| FIRST_PORT + (offset + step) % PORTS);
    for port in &mut ports {
        let free = candidates
            .by_ref()
            .find_map(|candidate| TcpListener::bind((Ipv4Addr::LOCALHOST, candidate)).ok());
        let listener = free.context("no free port on 127.0.0.1")?;
        *port = listener.local_addr()?.port();
        // Kept until all are chosen, so that none is chosen twice.
        listeners.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_different() {
        let mut ports = free_ports::<8>().unwrap();
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0] != pair[1]) && ports[0] > 0);
    }
}
