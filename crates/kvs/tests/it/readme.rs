//! The README, followed word for word: every command of it is run, in order, in one folder, as a reader would.
//!
//! A fence marked `console` holds lines that begin with `$ ` (a command, continued after `\` and within quotes) and what
//! they print, which is not compared. Each command must succeed. Commands that would build, fetch or test the project
//! itself are passed over by name; so are those that need a program which is not installed, and the test says which.
//!
//! The ports of the README are replaced by free ones, that of the first node through its variable, and folders under
//! `/tmp` by folders of the test. Where the README sleeps, the test does not: what comes next, up to the next stop of a
//! node, is tried until it succeeds, within a bound.

use std::net::TcpListener;
use std::path::Path;

use crate::support::finished::Finished;
use crate::support::sandbox::{KVS, Sandbox};
use crate::support::wait::{SOON, within};

/// First words of commands that set the project up, which this test takes as done.
const SET_UP: [&str; 10] = [
    "git",
    "cargo run",
    "cargo test",
    "cargo build",
    "cargo install",
    "cargo xtask",
    "npm",
    "npx",
    "cd",
    "./integration_test.sh",
];

/// The commands of the README in their order.
fn commands(readme: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut in_console = false;
    let mut is_continued = false;
    for line in readme.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            in_console = !in_console && matches!(fence.trim(), "console" | "sh");
            is_continued = false;
            continue;
        }
        if !in_console {
            continue;
        }
        match (is_continued, line.strip_prefix("$ ")) {
            (true, _) => {
                let command = commands.last_mut().unwrap();
                command.push('\n');
                command.push_str(line.strip_prefix("> ").unwrap_or(line));
            }
            (false, Some(command)) => commands.push(command.to_owned()),
            (false, None) => continue,
        }
        // A quote that is open at the end of a line goes on in the next one.
        let quotes = commands.last().map_or(0, |command| command.matches('\'').count());
        is_continued = line.ends_with('\\') || quotes % 2 == 1;
    }
    commands
}

/// The ports that the README names; the first is the one of a node that is not told otherwise.
const PORTS: [&str; 6] = ["8080", "8081", "8082", "8083", "9111", "9112"];

/// Names of the other nodes, in their commands: each has a configuration of its own, which names its port.
const OTHERS: [&str; 7] = ["second", "node1", "node2", "node3", "test1", "test2", "conflict"];

/// As many free ports, all below those that the system gives to connections, so that nobody takes them meanwhile.
fn free_ports() -> [String; PORTS.len()] {
    let first = 20_000 + std::process::id() % 10_000;
    let mut free = (first..32_000).filter(|port| TcpListener::bind(format!("127.0.0.1:{port}")).is_ok());
    [(); PORTS.len()].map(|()| free.next().unwrap().to_string())
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[test]
fn every_command_of_the_readme_works() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(project.join("README.md")).unwrap();
    let commands = commands(&readme);
    assert!(commands.iter().any(|command| command.starts_with("kvs ")), "the README shows no command of kvs");
    let sandbox = Sandbox::new();
    std::fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cities.jsonl"),
        sandbox.folder().join("cities.jsonl"),
    )
    .unwrap();
    let programs = Path::new(KVS).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let ports = free_ports();
    let folder = sandbox.folder();
    let mut done = 0;
    let mut is_patient = false;
    for command in commands {
        let command = PORTS.iter().zip(&ports).fold(command, |text, (port, free)| text.replace(port, free));
        let command = command.replace("/tmp/", &format!("{}/", folder.display()));
        if SET_UP.iter().any(|word| command == *word || command.starts_with(&format!("{word} "))) {
            continue;
        }
        if command.starts_with("sleep ") {
            is_patient = true;
            continue;
        }
        if let Some(missing) = ["curl", "jq"]
            .into_iter()
            .find(|word| command.contains(&format!("{word} ")) && !is_installed(word))
        {
            eprintln!("skipped, because {missing} is not installed: {command}");
            continue;
        }
        let run = || {
            let mut shell = sandbox.command("bash");
            shell.args(["-euo", "pipefail", "-c", &command]).env("PATH", &path);
            if !OTHERS.iter().any(|other| command.contains(other)) {
                shell.env("KVS_PORT", &ports[0]);
            }
            Finished::of(shell, b"")
        };
        let is_done = |finished: &Finished| {
            let is_refused = command.starts_with("curl ") && finished.stdout.contains("\"code\":");
            finished.code == Some(0) && !is_refused
        };
        let mut finished = run();
        if is_patient && !is_done(&finished) {
            within(SOON, || {
                finished = run();
                is_done(&finished).then_some(())
            });
        }
        // What was waited for is over when nodes are stopped.
        is_patient &= !command.starts_with("kvs stop ");
        assert!(
            is_done(&finished),
            "$ {command}\n{:?}\n{}{}",
            finished.code,
            finished.stdout,
            finished.stderr
        );
        done += 1;
    }
    assert!(done > 0, "nothing was run");
}

#[test]
fn commands_are_found_with_their_continuations() {
    let text = "```console\n$ kvs a \\\n    b\noutput\n$ echo 'c\nd' > e\n```\n```rust\n$ no\n```\ntext\n```sh\n$ f\n```\n";
    assert_eq!(commands(text), ["kvs a \\\n    b", "echo 'c\nd' > e", "f"]);
}
