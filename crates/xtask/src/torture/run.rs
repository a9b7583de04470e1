//! One run, from an empty cluster to the verdict.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::bench::node::binary;
use crate::clock;
use crate::torture::clients::{CLIENTS, Client, MAX_TTL_S};
use crate::torture::faketime;
use crate::torture::faults::Faults;
use crate::torture::ledger::{Ledger, Write};
use crate::torture::nodes::{NODES, Nodes};
use crate::torture::options::TortureOptions;
use crate::torture::random::Random;
use crate::torture::verdict::{Class, judge};
use crate::torture::{logs, report, settle, survey};
use crate::workspace::cargo;

/// Stories told of writes that are lost; beyond it they are only counted.
const STORIES: usize = 5;

/// Builds the node with its own checks on, and runs.
///
/// # Errors
///
/// It could not be done, or something is not as it must be.
pub(crate) fn run(options: &TortureOptions) -> anyhow::Result<()> {
    let built = cargo().args(["build", "--quiet", "--package", "kvs"]).status()?;
    if !built.success() {
        bail!("the node could not be built");
    }
    if faketime::library().is_none() {
        println!("libfaketime is not installed: no clocks are set");
    }
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent).context("the program lies in no target folder")?;
    let folder = target.join("torture").join(format!("seed-{}", options.seed));
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder)?;
    let ledger = Ledger::new();
    let outcome = torture(options, &folder, &ledger);
    ledger.wrongs().iter().for_each(|wrong| println!("WRONG: {wrong}"));
    std::fs::write(folder.join("events.txt"), ledger.events().join("\n"))?;
    if outcome.is_ok() && !options.keep {
        std::fs::remove_dir_all(&folder)?;
    } else {
        println!("the folders of the nodes: {}", folder.display());
    }
    outcome
}

fn torture(options: &TortureOptions, folder: &Path, ledger: &Ledger) -> anyhow::Result<()> {
    let mut nodes = Nodes::new(folder.to_owned())?;
    for node in 0..NODES {
        nodes.start(node, 0)?;
    }
    settle::wait(&mut nodes, ledger)?;
    ledger.event("five nodes are equal; it begins");
    let faulted = trouble(options, ledger, &mut nodes);
    if let Err(reason) = faulted {
        ledger.wrong(format!("{reason:#}"));
    }
    for node in 0..NODES {
        nodes.thaw(node);
        if !nodes.runs(node) {
            nodes.start(node, 0)?;
        }
    }
    ledger.event("all is mended");
    // What has a short life ends meanwhile.
    thread::sleep(Duration::from_secs(MAX_TTL_S + 2));
    match settle::wait(&mut nodes, ledger) {
        Ok(took) => ledger.event(&format!("the nodes are equal, {:.1} s after that", took.as_secs_f64())),
        Err(reason) => ledger.wrong(format!("{reason:#}")),
    }
    let writes = ledger.writes();
    let keys: BTreeSet<String> = writes.iter().map(|write| write.key.clone()).collect();
    let known: BTreeSet<String> = writes.iter().filter_map(|write| write.uuid.clone()).collect();
    let survey = survey::take(&nodes, &keys, &known)?;
    for different in &survey.different {
        ledger.wrong(format!("nodes show different things: {different}"));
    }
    let losses = ledger.losses();
    let put_back = survey::uuids(&nodes, &losses.iter().map(|loss| loss.node).collect())?;
    for node in 0..NODES {
        nodes.stop(node)?;
        look_behind(&nodes, node, &put_back, ledger)?;
    }
    let judged = judge(&writes, &losses, &survey);
    report::print(ledger, &judged);
    let lost: Vec<&Write> = judged
        .iter()
        .filter(|(_, class)| matches!(class, Class::Lost | Class::Silent))
        .map(|(write, _)| *write)
        .collect();
    for write in lost.iter().take(STORIES) {
        report::story(write, &writes, &survey, ledger);
    }
    let wrongs = ledger.wrongs();
    if !lost.is_empty() || !wrongs.is_empty() {
        bail!(
            "seed {}: {} writes are unaccounted for, {} other things are wrong",
            options.seed,
            lost.len(),
            wrongs.len()
        );
    }
    println!("seed {}: every acknowledged write is accounted for", options.seed);
    Ok(())
}

/// Faults and clients, until the time is over.
fn trouble(options: &TortureOptions, ledger: &Ledger, nodes: &mut Nodes) -> anyhow::Result<()> {
    let (over, numbers) = (AtomicBool::new(false), AtomicU64::new(1));
    let talks: Vec<_> = (0..CLIENTS).map(|_| (0..NODES).map(|node| nodes.talk(node)).collect()).collect();
    thread::scope(|scope| {
        for (who, talks) in (1..).zip(talks) {
            let (over, numbers) = (&over, &numbers);
            let random = Random::new(options.seed, who);
            scope.spawn(move || Client::new(talks, random, ledger, numbers).run(over));
        }
        let begin = clock::now();
        let mut pauses = Random::new(options.seed, 1_000);
        let mut faults = Faults::new(nodes, Random::new(options.seed, 0), ledger);
        let mut outcome = Ok(());
        while outcome.is_ok() && begin.elapsed() < Duration::from_secs(options.minutes * 60) {
            thread::sleep(Duration::from_millis(pauses.between(100, 3_000)));
            outcome = faults.one();
        }
        over.store(true, Ordering::Release);
        outcome
    })
}

/// Checks the directory of a stopped node, and what it printed.
fn look_behind(nodes: &Nodes, node: usize, put_back: &[String], ledger: &Ledger) -> anyhow::Result<()> {
    let checked = std::process::Command::new(binary()?).arg("check").arg(nodes.data_of(node)).output()?;
    if !checked.status.success() {
        ledger.wrong(format!("`kvs check` of n{node}: {}", String::from_utf8_lossy(&checked.stdout)));
    }
    let lines = logs::read(&nodes.folder_of(node), put_back)?;
    for (what, count) in lines.explained {
        (0..count).for_each(|_| ledger.count(&format!("log: {what}")));
    }
    lines.unexplained.into_iter().for_each(|line| ledger.wrong(format!("n{node} printed: {line}")));
    Ok(())
}
