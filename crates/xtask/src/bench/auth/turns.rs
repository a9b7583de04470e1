//! Nodes driven alternately under one load, so that a disturbance of the machine meets all alike; and their ratios.
//!
//! Each round drives every contestant once and begins with another one. A ratio is taken within each round, and the figure is
//! the middle one. Keys are warm: what is compared is the work for each request, not the first look at a key.

use std::time::Duration;

use anyhow::Context as _;

use crate::bench::auth::caller::Caller;
use crate::bench::auth::nodes;
use crate::bench::cluster::finding::middle_and_worst;
use crate::bench::load::{self, Load, Outcome, Stop};
use crate::bench::server::Server;
use crate::bench::transport::Way;
use crate::bench::values::{DOCUMENT_BYTES, Documents, mix};
use crate::bench::{procfs, quiet};

/// Keys that are read and written, at random.
pub(crate) const KEYS: u64 = 20_000;

/// Connections of a busy node, one request in flight on each.
pub(crate) const BUSY: usize = 64;

/// How long each contestant is driven before the first round.
const WARM_UP: Duration = Duration::from_secs(1);

/// The operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Reading a key.
    Get,
    /// Overwriting a key.
    Put,
}

/// One who is driven.
pub(crate) struct Contestant<'a> {
    /// What it is called on the terminal.
    pub(crate) name: &'static str,
    /// The node.
    pub(crate) server: &'a Server,
    /// Who asks it.
    pub(crate) caller: Caller,
    /// Over what.
    pub(crate) way: Way<'a>,
}

/// What is done with each of them.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// The operation.
    pub(crate) verb: Verb,
    /// How many connections.
    pub(crate) connections: usize,
    /// How often.
    pub(crate) rounds: u32,
    /// How long each time.
    pub(crate) duration: Duration,
    /// The values.
    pub(crate) documents: &'a Documents,
}

/// What one turn brought. CPU is user and system time of the whole process for each operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// Operations per second.
    pub(crate) rate: f64,
    /// CPU of the node, in microseconds.
    pub(crate) server_us: f64,
    /// CPU of the load generator, in microseconds.
    pub(crate) client_us: f64,
    /// The latency that half of the operations do not exceed, in microseconds.
    pub(crate) p50_us: f64,
}

/// One figure of a turn.
pub(crate) type Figure = fn(&Turn) -> f64;

/// The turns of one contestant, by rounds.
pub(crate) type Course = Vec<Turn>;

/// Drives the contestants alternately; gives the courses in their order.
///
/// # Errors
///
/// An operation failed, or a node is gone.
pub(crate) fn play<const COUNT: usize>(
    scene: Scene<'_>,
    contestants: &[Contestant<'_>; COUNT],
) -> anyhow::Result<[Course; COUNT]> {
    let everyone = || contestants.iter().map(|contestant| contestant.server);
    for contestant in contestants {
        quiet::wait(everyone());
        drive(scene, contestant, WARM_UP, 0)?;
    }
    let mut courses = [const { Course::new() }; COUNT];
    for round in 1..=scene.rounds {
        let mut order: Vec<_> = contestants.iter().zip(&mut courses).collect();
        order.rotate_left((round as usize - 1) % COUNT.max(1));
        for (contestant, course) in order {
            quiet::wait(everyone());
            let turn = drive(scene, contestant, scene.duration, u64::from(round))?;
            println!(
                "bench: {:?}, {} connection(s), round {round}: {}: {:.1} k/s, {:.1} us of CPU (and {:.1} to ask), p50 {:.0} us",
                scene.verb,
                scene.connections,
                contestant.name,
                turn.rate / 1000.0,
                turn.server_us,
                turn.client_us,
                turn.p50_us,
            );
            course.push(turn);
        }
    }
    Ok(courses)
}

/// Drives one contestant with random keys.
fn drive(
    scene: Scene<'_>,
    contestant: &Contestant<'_>,
    duration: Duration,
    round: u64,
) -> anyhow::Result<Turn> {
    let least_body_bytes = if scene.verb == Verb::Get { DOCUMENT_BYTES } else { 0 };
    let load = nodes::load(contestant.server.address, scene.connections, Stop::After(duration));
    let load = Load { least_body_bytes, ..load };
    let own = || procfs::own_cpu_time(std::process::id());
    let (server_before, own_before) = (contestant.server.cpu_time()?, own()?);
    let outcome = load::run_over(contestant.way, load, &mut |number, out| {
        let key = mix(number ^ (round << 48)) % KEYS;
        match scene.verb {
            Verb::Get => contestant.caller.get(key, out),
            Verb::Put => contestant.caller.put(key, scene.documents.document(number + round), out),
        }
    });
    let server_cpu = contestant.server.cpu_time()?.saturating_sub(server_before);
    let own_cpu = own()?.saturating_sub(own_before);
    let outcome: Outcome = outcome.and_then(Outcome::verified).context(contestant.name)?;
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / outcome.completed.max(1) as f64;
    Ok(Turn {
        rate: outcome.rate(),
        server_us: each(server_cpu),
        client_us: each(own_cpu),
        p50_us: outcome.latency.quantile(500).map_or(0.0, |nanoseconds| nanoseconds as f64 / 1000.0),
    })
}

/// The middle one of the turns.
///
/// # Errors
///
/// There were none.
pub(crate) fn middle(course: &[Turn], of: Figure) -> anyhow::Result<f64> {
    let samples: Vec<f64> = course.iter().map(of).collect();
    middle_and_worst(&samples).map(|(middle, _)| middle).context("no rounds")
}

/// The middle one of the ratios of each round.
///
/// # Errors
///
/// There were no rounds.
pub(crate) fn ratio(ours: &[Turn], theirs: &[Turn], of: Figure) -> anyhow::Result<f64> {
    let ratios: Vec<f64> =
        ours.iter().zip(theirs).map(|(ours, theirs)| of(ours) / of(theirs).max(f64::MIN_POSITIVE)).collect();
    middle_and_worst(&ratios).map(|(middle, _)| middle).context("no rounds")
}

/// Both rates, as they stand beside their ratio.
///
/// # Errors
///
/// There were no rounds.
pub(crate) fn rates(ours: &[Turn], theirs: &[Turn]) -> anyhow::Result<String> {
    let rate = |course| middle(course, |turn| turn.rate / 1000.0);
    Ok(format!("{:.1} k/s against {:.1} k/s", rate(ours)?, rate(theirs)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(rates: &[f64]) -> Course {
        let turn = |rate: &f64| Turn { rate: *rate, server_us: 1.0, client_us: 1.0, p50_us: 1.0 };
        rates.iter().map(turn).collect()
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // The machine was three times as fast in the second round.
        let (ours, theirs) = (course(&[90.0, 300.0, 80.0]), course(&[100.0, 300.0, 100.0]));
        assert!((ratio(&ours, &theirs, |turn| turn.rate).unwrap() - 0.9).abs() < 1e-9);
        assert!((middle(&ours, |turn| turn.rate).unwrap() - 90.0).abs() < 1e-9);
        assert!(ratio(&[], &[], |turn| turn.rate).is_err());
    }

    #[test]
    fn rates_are_told_in_thousands() {
        assert_eq!(rates(&course(&[1_500.0]), &course(&[2_000.0])).unwrap(), "1.5 k/s against 2.0 k/s");
    }
}
