//! `integration_test.sh`, as users run it, on the program under test.

use std::path::Path;

use crate::support::finished::Finished;
use crate::support::sandbox::{KVS, Sandbox};

#[test]
fn the_integration_test_passes_and_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let runs = |program: &str| {
        let mut shell = sandbox.command("sh");
        shell.args(["-c", &format!("command -v {program}")]);
        Finished::of(shell, b"").code == Some(0)
    };
    if let Some(missing) = ["bash", "curl"].into_iter().find(|program| !runs(program)) {
        eprintln!("skipped, because {missing} is not installed");
        return;
    }
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integration_test.sh").canonicalize().unwrap();
    let temporary = sandbox.folder();
    let mut bash = sandbox.command("bash");
    bash.arg(script).env("KVS_BIN", KVS).env("TMPDIR", &temporary);
    let finished = Finished::of(bash, b"").expect(0);
    let checks = finished.stdout.lines().filter(|line| line.starts_with("PASS  ")).count();
    assert!(checks > 50 && !finished.stdout.contains("FAIL"), "{}", finished.stdout);
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn the_integration_test_says_when_it_cannot_begin() {
    let sandbox = Sandbox::new();
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integration_test.sh").canonicalize().unwrap();
    let mut bash = sandbox.command("bash");
    bash.arg(&script).env("KVS_BIN", "/nowhere/kvs").env("TMPDIR", sandbox.folder());
    Finished::of(bash, b"").expect(2);
}
