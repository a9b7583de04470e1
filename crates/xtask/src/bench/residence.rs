//! Resident memory, and the time from the start of the process to its first answer: empty, loaded, and after a kill.
//!
//! The node runs alone. Starts are measured with what the system has in its page cache, as after a restart of the
//! process and not of the machine; the first answer with keys is a read of one of them, not a health check.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::bench::dialect::{self, Dialect};
use crate::bench::figures::{Figures, Metric, Target};
use crate::bench::load::{self, Load, Stop};
use crate::bench::node::{self, Compression};
use crate::bench::options::{NodeOptions, Part};
use crate::bench::scratch::Scratch;
use crate::bench::server::{Recipe, Server};
use crate::bench::values::{DOCUMENT_BYTES, Documents, mix, write_document};
use crate::bench::{batches, procfs, quiet};

/// How long writes go on before the node is killed under them.
const WRITES_BEFORE_KILL: Duration = Duration::from_secs(2);

/// Different values that are written before the kill.
const VALUES_BEFORE_KILL: u64 = 10_000;

const MEGABYTE: f64 = 1e6;

/// Runs this part. What fails is recorded in the figures.
pub(crate) fn run(options: &NodeOptions, scratch: &Scratch, figures: &mut Figures) {
    if !options.wants(Part::Memory) && !options.wants(Part::Start) {
        return;
    }
    let empty = [Metric::StartEmpty, Metric::MemoryEmpty];
    let loaded = [
        Metric::MemoryLoaded,
        Metric::MemoryRead,
        Metric::MemoryPeak,
        Metric::StartClean,
        Metric::StartKilled,
    ];
    if let Err(error) = measure_empty(options, scratch, figures) {
        println!("bench: empty start: void: {error:#}");
        figures.void(Target::Node, &empty, &format!("{error:#}"));
    }
    if let Err(error) = measure_loaded(options, scratch, figures) {
        println!("bench: loaded node: void: {error:#}");
        figures.void(Target::Node, &loaded, &format!("{error:#}"));
    }
}

fn measure_empty(options: &NodeOptions, scratch: &Scratch, figures: &mut Figures) -> anyhow::Result<()> {
    for round in 1..=options.rounds {
        let folder = scratch.folder(&format!("empty-{round}"))?;
        let mut server = Server::start(&node::recipe(&folder, Compression::On)?, &folder)?;
        figures.add(Target::Node, Metric::StartEmpty, milliseconds(server.started_in));
        quiet::wait([&server]);
        let resident = add_memory(&server, "VmRSS", Metric::MemoryEmpty, figures)?;
        println!(
            "bench: empty, round {round}: answered after {:.1} ms, {resident:.1} MB",
            milliseconds(server.started_in)
        );
        server.process.stop()?;
    }
    Ok(())
}

fn measure_loaded(options: &NodeOptions, scratch: &Scratch, figures: &mut Figures) -> anyhow::Result<()> {
    let folder = scratch.folder("loaded")?;
    let mut server = Server::start(&node::recipe(&folder, Compression::On)?, &folder)?;
    let path = |number: u64, out: &mut Vec<u8>| out.extend_from_slice(dialect::key(number).as_bytes());
    let outcome =
        batches::put_all(&server, options.loaded_keys, &path, &|number, out| write_document(number, out))?;
    let seconds = outcome.elapsed.as_secs_f64();
    println!("bench: {} keys loaded in {seconds:.1} s", options.loaded_keys);
    quiet::wait([&server]);
    let resident = add_memory(&server, "VmRSS", Metric::MemoryLoaded, figures)?;
    read_at_random(options, &server)?;
    let read = add_memory(&server, "VmRSS", Metric::MemoryRead, figures)?;
    let peak = add_memory(&server, "VmHWM", Metric::MemoryPeak, figures)?;
    println!("bench: loaded: {resident:.1} MB, after reads {read:.1} MB, at most {peak:.1} MB");
    server.process.stop()?;
    if !options.wants(Part::Start) {
        return Ok(());
    }
    for round in 1..=options.rounds {
        let mut server = start_loaded(options, &folder)?;
        figures.add(Target::Node, Metric::StartClean, milliseconds(server.started_in));
        println!(
            "bench: clean start, round {round}: answered after {:.0} ms",
            milliseconds(server.started_in)
        );
        server.process.stop()?;
    }
    let documents = Documents::new(VALUES_BEFORE_KILL);
    let mut server = start_loaded(options, &folder)?;
    for round in 1..=options.rounds {
        kill_under_writes(options, &mut server, &documents)?;
        server = start_loaded(options, &folder)?;
        figures.add(Target::Node, Metric::StartKilled, milliseconds(server.started_in));
        println!(
            "bench: start after kill -9, round {round}: answered after {:.0} ms",
            milliseconds(server.started_in)
        );
    }
    server.process.stop()
}

/// Reads random keys over many connections for the time of a measurement, so that the caches of the node fill.
fn read_at_random(options: &NodeOptions, server: &Server) -> anyhow::Result<()> {
    let load = Load {
        address: server.address,
        protocol: server.dialect.protocol(),
        connections: usize::from(options.connections),
        stop: Stop::After(options.duration()),
        least_body_bytes: DOCUMENT_BYTES,
    };
    let outcome = load::run(load, &mut |number, out| {
        Dialect::Node.write_get(mix(number) % options.loaded_keys, out);
    })?;
    let outcome = outcome.verified()?;
    println!("bench: {} random reads, {:.1} k/s", outcome.completed, outcome.rate() / 1000.0);
    Ok(())
}

/// Starts the node over the loaded data; it counts as started when it answers a read of the last key.
fn start_loaded(options: &NodeOptions, folder: &Path) -> anyhow::Result<Server> {
    let mut probe = Vec::new();
    Dialect::Node.write_get(options.loaded_keys - 1, &mut probe);
    let recipe = Recipe { probe, ..node::recipe(folder, Compression::On)? };
    Server::start(&recipe, folder)
}

/// Kills the node while many connections write to random keys of those it has.
fn kill_under_writes(
    options: &NodeOptions,
    server: &mut Server,
    documents: &Documents,
) -> anyhow::Result<()> {
    let load = Load {
        address: server.address,
        protocol: server.dialect.protocol(),
        connections: usize::from(options.connections),
        // It ends when the connections break.
        stop: Stop::After(WRITES_BEFORE_KILL * 10),
        least_body_bytes: 0,
    };
    let written = thread::scope(|scope| {
        let writes = scope.spawn(|| {
            load::run(load, &mut |number, out| {
                let key = mix(number) % options.loaded_keys;
                Dialect::Node.write_put(key, documents.document(number), out);
            })
        });
        thread::sleep(WRITES_BEFORE_KILL);
        server.process.kill();
        writes.join()
    });
    match written {
        Ok(Ok(outcome)) if outcome.completed > 0 => Ok(()),
        Ok(Ok(outcome)) => outcome.verified().map(drop),
        Ok(Err(error)) => Err(error),
        Err(_) => anyhow::bail!("the writing thread panicked"),
    }
}

fn add_memory(server: &Server, name: &str, metric: Metric, figures: &mut Figures) -> anyhow::Result<f64> {
    let megabytes = procfs::memory_bytes(server.process.pid(), name)? as f64 / MEGABYTE;
    figures.add(Target::Node, metric, megabytes);
    Ok(megabytes)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
