//! The README, followed word for word: every command of it is run, in order, in one folder, as a reader would.
//!
//! A fence marked `console` holds lines that begin with `$ ` (a command, continued after `\`) and what they print, which
//! is not compared. Each command must succeed. Commands that would build, fetch or test the project itself are passed
//! over by name; so are those that need a program which is not installed, and the test says which.
//!
//! The ports of the README are replaced by free ones, those of the first node through its variable.

use std::net::TcpListener;
use std::path::Path;

use crate::support::finished::Finished;
use crate::support::sandbox::{KVS, Sandbox};

/// First words of commands that set the project up, which this test takes as done.
const SET_UP: [&str; 9] =
    ["git", "cargo run", "cargo test", "cargo build", "cargo install", "cargo xtask", "npm", "npx", "cd"];

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
        is_continued = line.ends_with('\\');
    }
    commands
}

/// The ports that the README names; the first is the one of a node that is not told otherwise.
const PORTS: [&str; 2] = ["8080", "8082"];

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
    let mut done = 0;
    for command in commands {
        let command = PORTS.iter().zip(&ports).fold(command, |text, (port, free)| text.replace(port, free));
        if SET_UP.iter().any(|word| command == *word || command.starts_with(&format!("{word} "))) {
            continue;
        }
        if let Some(missing) = ["curl", "jq"]
            .into_iter()
            .find(|word| command.contains(&format!("{word} ")) && !is_installed(word))
        {
            eprintln!("skipped, because {missing} is not installed: {command}");
            continue;
        }
        let mut shell = sandbox.command("bash");
        shell.args(["-euo", "pipefail", "-c", &command]).env("PATH", &path);
        // The second node of the tutorial has a configuration of its own, which names its port.
        if !command.contains("second") {
            shell.env("KVS_PORT", &ports[0]);
        }
        let finished = Finished::of(shell, b"");
        let failed = finished.code != Some(0)
            || (command.starts_with("curl ") && finished.stdout.contains("\"code\":"));
        assert!(!failed, "$ {command}\n{:?}\n{}{}", finished.code, finished.stdout, finished.stderr);
        done += 1;
    }
    assert!(done > 0, "nothing was run");
}

#[test]
fn commands_are_found_with_their_continuations() {
    let text =
        "```console\n$ kvs a \\\n    b\noutput\n$ kvs c\n```\n```rust\n$ no\n```\ntext\n```sh\n$ d\n```\n";
    assert_eq!(commands(text), ["kvs a \\\n    b", "kvs c", "d"]);
}
