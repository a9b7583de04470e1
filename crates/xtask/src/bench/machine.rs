//! Where and with what a run was made: a figure without its machine says nothing.

use std::process::{Command, Stdio};
use std::thread;

use crate::bench::figures::Target;
use crate::bench::node;
use crate::bench::peers;
use crate::workspace::{locate, root};

/// How many processes wanted a core over the last minute: what else the machine did before the run.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// The lines that stand above the tables: date, machine, versions of these targets. `load_before` is the load average
/// before the run.
pub(crate) fn description(load_before: &str, targets: &[Target]) -> Vec<String> {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let cpu = proc_field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".to_owned());
    let memory = proc_field("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let unknown = || "unknown".to_owned();
    vec![
        format!("Date: {} (UTC)", output("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(unknown)),
        format!("Machine: {cores} cores, {cpu}, {memory} of memory, Linux {}", kernel.trim()),
        format!(
            "Load average before the run: {load_before} (other work on the machine disturbs every figure)"
        ),
        format!("Built from: {}", commit().unwrap_or_else(unknown)),
        format!("Compiler: {}", output("rustc", &["--version"]).unwrap_or_else(unknown)),
        format!("Versions: {}", versions(targets).join("; ")),
    ]
}

fn versions(targets: &[Target]) -> Vec<String> {
    let node = node::binary().ok().and_then(|path| output(&path.to_string_lossy(), &["--version"]));
    let version = |target| match target {
        Target::Redis => output_of(target, &["--version"]),
        Target::Etcd => output_of(target, &["--version"]),
        Target::Nginx => output_of(target, &["-v"]),
        Target::Webdis => {
            // It has no option that tells its version; what its package says is all there is.
            let (_, package) = peers::program(target)?;
            let version = output("dpkg-query", &["--show", "--showformat=${Version}", package])?;
            Some(format!("webdis {version}"))
        }
        Target::Node => node.clone(),
        Target::Hyper => None,
    };
    targets.iter().copied().filter_map(version).collect()
}

fn output_of(target: Target, arguments: &[&str]) -> Option<String> {
    let (program, _) = peers::program(target)?;
    output(&locate(program)?.to_string_lossy(), arguments)
}

fn commit() -> Option<String> {
    let root = root();
    let root = root.to_string_lossy();
    let commit = output("git", &["-C", &root, "rev-parse", "--short=12", "HEAD"])?;
    let changed = output("git", &["-C", &root, "status", "--porcelain", "--untracked-files=no"]).is_some();
    Some(format!("commit {commit}{}", if changed { " with changes" } else { "" }))
}

/// The first line that a program prints (on either stream); `None` when it fails or prints nothing.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let all = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&all);
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

/// The value behind the first `name : value` of a file of the kernel.
fn proc_field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_or_says_nothing_has_no_output() {
        assert_eq!(output("echo", &["a b"]), Some("a b".to_owned()));
        assert_eq!(output("true", &[]), None);
        assert_eq!(output("sh", &["-c", "echo x; exit 1"]), None);
        assert_eq!(output("no-such-program-at-all", &[]), None);
    }
}
