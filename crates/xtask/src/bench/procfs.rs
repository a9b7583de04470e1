//! What the kernel says about a process: CPU time, resident memory, its children. Linux only, like the figures.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and system time of all threads, and of the children that ended, in clock ticks.
    ticks: u64,
}

/// Parses a line of `/proc/PID/stat`. The name in parentheses may hold anything, so fields are counted after its end.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let times = fields.get(11..15)?;
    let ticks = times.iter().map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Stat { parent, ticks })
}

/// The CPU time (user and system, all threads) of a process and its living and ended children.
///
/// # Errors
///
/// The process is gone, or this is not Linux.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let children: u64 = all_stats().filter(|stat| stat.parent == pid).map(|stat| stat.ticks).sum();
    Ok(own_cpu_time(pid)? + ticks(children))
}

/// The CPU time (user and system, all threads) of a process and its ended children, without the living ones.
///
/// # Errors
///
/// The process is gone, or this is not Linux.
pub(crate) fn own_cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} is gone"))?;
    let own = parse_stat(&text).context("/proc/PID/stat has an unknown form")?;
    Ok(ticks(own.ticks))
}

fn ticks(count: u64) -> Duration {
    Duration::from_secs_f64(count as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn all_stats() -> impl Iterator<Item = Stat> {
    let folders = Path::new("/proc").read_dir().into_iter().flatten().flatten();
    let processes = folders.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    processes.filter_map(|entry| parse_stat(&std::fs::read_to_string(entry.path().join("stat")).ok()?))
}

/// A memory figure of `/proc/PID/status` in bytes, by its name: `VmRSS` (now) or `VmHWM` (the most there was).
///
/// # Errors
///
/// The process is gone, or the kernel does not give the figure.
pub(crate) fn memory_bytes(pid: u32, name: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone"))?;
    parse_status(&text, name).with_context(|| format!("/proc/{pid}/status has no {name}"))
}

fn parse_status(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// A process's own memory in bytes, and its share of what several processes map (PSS).
///
/// # Errors
///
/// The process is gone, or belongs to somebody else.
pub(crate) fn share_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib: u64 = line
        .and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .with_context(|| format!("{path} has no Pss"))?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_past_a_name_with_spaces_and_parentheses() {
        let line = "4242 (a) b (c) S 7 4242 4242 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 5 0 100 1000 10";
        assert_eq!(parse_stat(line), Some(Stat { parent: 7, ticks: 11 + 22 + 33 + 44 }));
        assert_eq!(parse_stat("4242 (a) S 7"), None);
    }

    #[test]
    fn memory_is_read_in_bytes_by_its_whole_name() {
        let text = "Name:\tx\nVmRSSX:\t 1 kB\nVmHWM:\t    2000 kB\nVmRSS:\t    1500 kB\n";
        assert_eq!(parse_status(text, "VmRSS"), Some(1500 * 1024));
        assert_eq!(parse_status(text, "VmHWM"), Some(2000 * 1024));
        assert_eq!(parse_status(text, "VmSwap"), None);
    }

    #[test]
    fn this_process_has_memory_and_cpu_time() {
        let pid = std::process::id();
        assert!(memory_bytes(pid, "VmRSS").unwrap() > 100_000);
        assert!(cpu_time(pid).is_ok());
        assert!(cpu_time(u32::MAX).is_err());
    }
}
