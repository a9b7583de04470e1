//! The project's automation: `cargo xtask ci`, `cargo xtask tidy`, `cargo xtask bench`, `cargo xtask torture`.
//!
//! It exists so that what CI runs, what a developer runs and what the documents quote is one program in the project's
//! own language. It depends on no crate of the product: the checks start without building it, and the benchmark sees
//! the product only as the world does, through its binary and its port.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program talks to the person who started it"
)]

mod bench;
mod ci;
mod clock;
mod tidy;
mod torture;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench::auth::options::AuthOptions;
use crate::bench::away::options::AwayOptions;
use crate::bench::bare_hyper;
use crate::bench::bound_exec;
use crate::bench::cluster::options::ClusterOptions;
use crate::bench::cluster::{idle, simulated};
use crate::bench::fleet::options::FleetOptions;
use crate::bench::options::NodeOptions;
use crate::torture::options::TortureOptions;

/// The arguments of `cargo xtask`.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's automation")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything CI runs: format, lints, docs, tidy, tests
    Ci,
    /// The text checks: file headers, file sizes, crate arrows, circles of files, links
    Tidy,
    /// Benchmarks of the release build
    #[command(subcommand)]
    Bench(Bench),
    /// Five nodes under random faults while clients write; every acknowledged write must be accounted for
    ///
    /// The nodes are the debug build, on loopback, in `target/torture/seed-N`. They are killed, frozen, stopped, put back to
    /// earlier copies of their directories, and (where libfaketime is installed) run under clocks that are ahead. At the end
    /// a table says what became of each acknowledged write. A write that nothing accounts for fails the run, and the folders
    /// are kept.
    Torture(TortureOptions),
    /// The measuring process of `bench node`; started by it, in a release build
    #[command(hide = true)]
    BenchWorker(NodeOptions),
    /// The measuring process of `bench cluster`
    #[command(hide = true)]
    BenchClusterWorker(ClusterOptions),
    /// The measuring process of `bench auth`
    #[command(hide = true)]
    BenchAuthWorker(AuthOptions),
    /// The measuring process of `bench fleet`
    #[command(hide = true)]
    BenchFleetWorker(FleetOptions),
    /// The measuring process of `bench away`
    #[command(hide = true)]
    BenchAwayWorker(AwayOptions),
    /// Idle nodes in a network namespace; started by the measuring process
    #[command(hide = true)]
    BenchClusterIdle(idle::Options),
    /// A bare hyper server that answers from memory; started by the benchmark
    #[command(hide = true)]
    BareHyper(bare_hyper::Options),
    /// Runs a program that ends when its parent does; used by the benchmark
    #[command(hide = true)]
    BoundExec(bound_exec::Options),
}

#[derive(Subcommand)]
enum Bench {
    /// One node against Redis, etcd, webdis, nginx and a bare hyper server
    Node(NodeOptions),
    /// Three nodes on loopback, as their clients and peers see them
    Cluster(ClusterOptions),
    /// What accounts, the audit trail, the limit of requests and TLS cost, and how fast a revocation travels
    Auth(AuthOptions),
    /// Fleets of up to a hundred nodes on this machine; some twenty minutes
    Fleet(FleetOptions),
    /// One of three nodes away for minutes while clients write to the others: disk, latency, and how it catches up
    Away(AwayOptions),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Ci => ci::run(),
        Task::Tidy => tidy::check::run(),
        Task::Bench(Bench::Node(options)) => {
            options.check().and_then(|()| bench::launch::run("bench-worker", &[]))
        }
        Task::Bench(Bench::Cluster(options)) => {
            bench::launch::run("bench-cluster-worker", &simulated::examples(&options))
        }
        Task::Bench(Bench::Auth(options)) => {
            options.check().and_then(|()| bench::launch::run("bench-auth-worker", &[]))
        }
        Task::Bench(Bench::Fleet(_)) => bench::launch::run("bench-fleet-worker", &[]),
        Task::Bench(Bench::Away(_)) => bench::launch::run("bench-away-worker", &[]),
        Task::Torture(options) => torture::run::run(&options),
        Task::BenchWorker(options) => bench::worker::run(&options),
        Task::BareHyper(options) => bare_hyper::run(&options),
        Task::BenchClusterWorker(options) => bench::cluster::worker::run(&options),
        Task::BenchAuthWorker(options) => bench::auth::worker::run(&options),
        Task::BenchFleetWorker(options) => bench::fleet::worker::run(&options),
        Task::BenchAwayWorker(options) => bench::away::worker::run(&options),
        Task::BenchClusterIdle(options) => idle::run_inside(&options),
        Task::BoundExec(options) => bound_exec::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
