//! A process by number *and* start time, which no other process of this machine ever shares.
//!
//! A number alone is reused; the start time in clock ticks since boot tells two processes of one number apart.
//! Source: proc(5), fields 3 and 22 of `/proc/PID/stat`; pidfd_open(2).

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::DaemonError;

/// A process of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(crate) start: u64,
}

/// What came of asking a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It has the signal.
    Sent,
    /// It does not run any more. If its number runs, that is another process, which was left alone.
    Gone,
}

impl Process {
    /// This process.
    pub(crate) fn current() -> Result<Self, DaemonError> {
        let pid = std::process::id();
        let path = stat_path(pid);
        let failed = |source| DaemonError::io("read", &path, source);
        let (_, start) =
            read_stat(pid).map_err(failed)?.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        Ok(Self { pid, start })
    }

    /// Whether this very process runs. One that has ended and was not yet waited for does not.
    pub(crate) fn runs(&self) -> bool {
        match read_stat(self.pid) {
            Ok(Some((state, start))) => start == self.start && !matches!(state, 'Z' | 'X' | 'x'),
            Ok(None) | Err(_) => false,
        }
    }

    /// Sends SIGTERM to this very process and to no other.
    pub(crate) fn ask_to_end(&self) -> io::Result<Asked> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else { return Ok(Asked::Gone) };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(Asked::Gone),
            Err(error) => return Err(error.into()),
        };
        // From here the descriptor pins one process. If that is another one than ours, ours ended before, and what the
        // number leads to now has another start time.
        if !self.runs() {
            return Ok(Asked::Gone);
        }
        match pidfd_send_signal(&pidfd, Signal::TERM) {
            Ok(()) => Ok(Asked::Sent),
            Err(Errno::SRCH) => Ok(Asked::Gone),
            Err(error) => Err(error.into()),
        }
    }
}

fn stat_path(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/stat"))
}

/// State and start time of the process `pid`; `None` when the kernel wrote something unknown.
fn read_stat(pid: u32) -> io::Result<Option<(char, u64)>> {
    let text = std::fs::read(stat_path(pid))?;
    Ok(parse_stat(&String::from_utf8_lossy(&text)))
}

fn parse_stat(text: &str) -> Option<(char, u64)> {
    /// The start time is field 22; what follows the name of the program begins with field 3.
    const START_AFTER_STATE: usize = 22 - 3;
    // The name stands in parentheses and may hold spaces and parentheses itself.
    let (_, rest) = text.rsplit_once(')')?;
    let state = rest.split_ascii_whitespace().next()?.chars().next()?;
    let start = rest.split_ascii_whitespace().nth(START_AFTER_STATE)?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_cannot_forge_the_start_time() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        for name in ["kvs", "a b", ") Z 1", "((", "x) R 9 9 9 9"] {
            assert_eq!(parse_stat(&format!("12 ({name}) {tail}")), Some(('S', 4711)), "{name}");
        }
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_stat("12 (kvs) S 1 2"), None);
    }

    #[test]
    fn this_process_runs_and_one_of_its_number_at_another_time_does_not() {
        let own = Process::current().unwrap();
        assert!(own.runs());
        let earlier = Process { start: own.start - 1, ..own };
        assert!(!earlier.runs());
        // Were it signalled, this test would end here.
        assert_eq!(earlier.ask_to_end().unwrap(), Asked::Gone);
    }

    #[test]
    fn numbers_that_no_process_can_have_are_gone() {
        for pid in [0, u32::MAX, i32::MAX.unsigned_abs()] {
            let process = Process { pid, start: 1 };
            assert!(!process.runs());
            assert_eq!(process.ask_to_end().unwrap(), Asked::Gone);
        }
    }
}
