//! Operations per second, server CPU per operation and latencies: every target under the same load, in turns.
//!
//! All servers of this part run at once and one is driven at a time. Rounds alternate between them, and each round
//! begins with another one, so that a disturbance of the machine meets all alike. Between two measurements the
//! background work of every server is given time to end, so that none pays for another.

use std::time::Duration;

use anyhow::Context as _;

use crate::bench::figures::{Figures, Metric, Target};
use crate::bench::load::{self, Load, Outcome, Stop};
use crate::bench::options::{NodeOptions, Part};
use crate::bench::scratch::Scratch;
use crate::bench::server::{Recipe, Server};
use crate::bench::values::{DOCUMENT_BYTES, Documents, mix};
use crate::bench::{node, peers, procfs, quiet};

/// How long a target is driven before its first measurement.
const WARM_UP: Duration = Duration::from_millis(500);

/// The two operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Get,
    Put,
}

/// One kind of measurement and where its results go.
struct Scene {
    name: &'static str,
    verb: Verb,
    targets: &'static [Target],
    connections: usize,
    rate: Option<Metric>,
    cpu: Option<Metric>,
    p50: Option<Metric>,
    p99: Option<Metric>,
}

impl Scene {
    fn metrics(&self) -> Vec<Metric> {
        [self.rate, self.cpu, self.p50, self.p99].into_iter().flatten().collect()
    }
}

const READERS: &[Target] = &[Target::Node, Target::Redis, Target::Webdis, Target::Nginx, Target::Hyper];
const WRITERS: &[Target] = &[Target::Node, Target::Redis, Target::Webdis, Target::Etcd];

fn scenes(options: &NodeOptions) -> Vec<Scene> {
    let busy = usize::from(options.connections);
    let get = Scene {
        name: "GET",
        verb: Verb::Get,
        targets: READERS,
        connections: busy,
        rate: Some(Metric::GetRate),
        cpu: Some(Metric::GetCpu),
        p50: None,
        p99: Some(Metric::GetBusyP99),
    };
    let put = Scene {
        name: "PUT",
        verb: Verb::Put,
        targets: WRITERS,
        connections: busy,
        rate: Some(Metric::PutRate),
        cpu: Some(Metric::PutCpu),
        p50: None,
        p99: Some(Metric::PutBusyP99),
    };
    let alone = |name, verb, targets, p50, p99| Scene {
        name,
        verb,
        targets,
        connections: 1,
        rate: None,
        cpu: None,
        p50: Some(p50),
        p99: Some(p99),
    };
    let get_alone = alone("GET, 1 connection", Verb::Get, READERS, Metric::GetP50, Metric::GetP99);
    let put_alone = alone("PUT, 1 connection", Verb::Put, WRITERS, Metric::PutP50, Metric::PutP99);
    let wanted = [(Part::Get, get), (Part::Latency, get_alone), (Part::Put, put), (Part::Latency, put_alone)];
    wanted.into_iter().filter(|(part, _)| options.wants(*part)).map(|(_, scene)| scene).collect()
}

/// Runs this part. What fails is recorded in the figures and does not end the others.
///
/// # Errors
///
/// The machine itself fails: no folder, no port.
pub(crate) fn run(options: &NodeOptions, scratch: &Scratch, figures: &mut Figures) -> anyhow::Result<()> {
    let scenes = scenes(options);
    if scenes.is_empty() {
        return Ok(());
    }
    let documents = Documents::new(options.keys);
    let mut servers = start_servers(&scenes, scratch, figures)?;
    let bench = Bench { options, documents: &documents };
    servers.retain(|server| match bench.fill(server) {
        Ok(()) => true,
        Err(error) => {
            println!("bench: {} cannot be loaded: {error:#}", server.target.label());
            figures.mark_absent(server.target, format!("could not be loaded: {error:#}"));
            false
        }
    });
    for scene in &scenes {
        bench.play(scene, &servers, figures);
    }
    Ok(())
}

/// Starts every target that a scene needs. Webdis needs the port of Redis.
fn start_servers(scenes: &[Scene], scratch: &Scratch, figures: &mut Figures) -> anyhow::Result<Vec<Server>> {
    let mut servers: Vec<Server> = Vec::new();
    for target in Target::ALL {
        if !scenes.iter().any(|scene| scene.targets.contains(&target)) {
            continue;
        }
        let folder = scratch.folder(&format!("{target:?}").to_lowercase())?;
        let redis = servers.iter().find(|server| server.target == Target::Redis);
        let redis = redis.map(|redis| (redis.process.pid(), redis.address.port()));
        let recipe: anyhow::Result<Recipe> = match target {
            Target::Node => node::recipe(&folder, node::Compression::On),
            Target::Redis => peers::redis(&folder),
            Target::Webdis => redis
                .context("needs Redis, which does not run")
                .and_then(|(_, port)| peers::webdis(&folder, port)),
            Target::Etcd => peers::etcd(&folder),
            Target::Nginx => peers::nginx(&folder),
            Target::Hyper => peers::hyper(),
        };
        match recipe.and_then(|recipe| Server::start(&recipe, &folder)) {
            Ok(mut server) => {
                server.backend_pid = redis.filter(|_| target == Target::Webdis).map(|(pid, _)| pid);
                println!(
                    "bench: {} runs (pid {}, port {})",
                    target.label(),
                    server.process.pid(),
                    server.address.port()
                );
                servers.push(server);
            }
            Err(error) => {
                println!("bench: {} is left out: {error:#}", target.label());
                figures.mark_absent(target, format!("{error:#}"));
            }
        }
    }
    Ok(servers)
}

struct Bench<'a> {
    options: &'a NodeOptions,
    documents: &'a Documents,
}

impl Bench<'_> {
    /// Writes every key once and reads some of them back.
    fn fill(&self, server: &Server) -> anyhow::Result<()> {
        // Webdis sees what Redis has; the others answer one value to everything.
        if WRITERS.contains(&server.target) && server.target != Target::Webdis {
            let load = self.load(
                server,
                Verb::Put,
                usize::from(self.options.connections),
                Stop::Count(self.options.keys),
            );
            let outcome = load::run(load, &mut |number, out| {
                server.dialect.write_put(number, self.documents.document(number), out);
            });
            let outcome = outcome?.verified()?;
            println!(
                "bench: {} holds {} keys, written in {:.1} s",
                server.target.label(),
                outcome.completed,
                outcome.elapsed.as_secs_f64()
            );
        }
        if WRITERS.contains(&server.target) {
            server.spot_check(self.documents, self.options.keys)?;
        }
        Ok(())
    }

    fn load(&self, server: &Server, verb: Verb, connections: usize, stop: Stop) -> Load {
        let least_body_bytes = if verb == Verb::Get { DOCUMENT_BYTES } else { 0 };
        Load {
            address: server.address,
            protocol: server.dialect.protocol(),
            connections,
            stop,
            least_body_bytes,
        }
    }

    fn play(&self, scene: &Scene, servers: &[Server], figures: &mut Figures) {
        let mut order: Vec<&Server> =
            servers.iter().filter(|server| scene.targets.contains(&server.target)).collect();
        if order.is_empty() {
            return;
        }
        for server in &order {
            quiet::wait(servers);
            self.drive(server, scene, WARM_UP, 0).ok();
        }
        for round in 1..=self.options.rounds {
            for server in &order {
                quiet::wait(servers);
                self.measure(scene, server, round, figures);
            }
            order.rotate_left(1);
        }
    }

    /// One measurement: drives one server for the time of a round and records what came out.
    fn measure(&self, scene: &Scene, server: &Server, round: u32, figures: &mut Figures) {
        let label = server.target.label();
        match self.drive(server, scene, self.options.duration(), u64::from(round)) {
            Err(error) => {
                println!("bench: {} round {round}: {label}: void: {error:#}", scene.name);
                figures.void(server.target, &scene.metrics(), &format!("{error:#}"));
            }
            Ok((outcome, cpu, generator)) => {
                let micros =
                    |per_mille| outcome.latency.quantile(per_mille).map_or(0.0, |ns| ns as f64 / 1000.0);
                let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / outcome.completed.max(1) as f64;
                let (cpu, generator) = (each(cpu), each(generator));
                println!(
                    "bench: {} round {round}: {label}: {:.1} k/s, {cpu:.1} us of CPU (and {generator:.1} to ask), p50 {:.0} us, p99 {:.0} us",
                    scene.name,
                    outcome.rate() / 1000.0,
                    micros(500),
                    micros(990),
                );
                let samples = [
                    (scene.rate, outcome.rate()),
                    (scene.cpu, cpu),
                    (scene.p50, micros(500)),
                    (scene.p99, micros(990)),
                ];
                for (metric, sample) in samples {
                    metric.into_iter().for_each(|metric| figures.add(server.target, metric, sample));
                }
            }
        }
    }

    /// Drives one server with random keys; gives what came out and the CPU time that the server and this process used
    /// meanwhile.
    fn drive(
        &self,
        server: &Server,
        scene: &Scene,
        duration: Duration,
        round: u64,
    ) -> anyhow::Result<(Outcome, Duration, Duration)> {
        let load = self.load(server, scene.verb, scene.connections, Stop::After(duration));
        let keys = self.options.keys;
        let own = || procfs::own_cpu_time(std::process::id());
        let (before, own_before) = (server.cpu_time()?, own()?);
        let outcome = load::run(load, &mut |number, out| {
            let key = mix(number ^ (round << 48)) % keys;
            match scene.verb {
                Verb::Get => server.dialect.write_get(key, out),
                Verb::Put => server.dialect.write_put(key, self.documents.document(number + round), out),
            }
        })?;
        let cpu = server.cpu_time()?.saturating_sub(before);
        let generator = own()?.saturating_sub(own_before);
        Ok((outcome.verified()?, cpu, generator))
    }
}
