//! The figures of a run: which target, which metric, one sample per round, and their median.

use std::collections::BTreeMap;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A node of ours.
    Node,
    /// Redis, every write synced before its answer.
    Redis,
    /// Webdis in front of that Redis.
    Webdis,
    /// etcd through its JSON gateway.
    Etcd,
    /// nginx that returns one value from its configuration.
    Nginx,
    /// The bare hyper server.
    Hyper,
}

impl Target {
    /// All of them, in the order of the tables.
    pub(crate) const ALL: [Self; 6] =
        [Self::Node, Self::Redis, Self::Webdis, Self::Etcd, Self::Nginx, Self::Hyper];

    /// The name in tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Node => "kvs",
            Self::Redis => "Redis",
            Self::Webdis => "webdis",
            Self::Etcd => "etcd",
            Self::Nginx => "nginx",
            Self::Hyper => "bare hyper",
        }
    }
}

/// What is measured of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// Reads per second over many connections.
    GetRate,
    /// Server CPU per read, microseconds.
    GetCpu,
    /// 99th percentile of a read over many connections, microseconds.
    GetBusyP99,
    /// Durable writes per second over many connections.
    PutRate,
    /// Server CPU per durable write, microseconds.
    PutCpu,
    /// 99th percentile of a durable write over many connections, microseconds.
    PutBusyP99,
    /// Median of a read over one connection, microseconds.
    GetP50,
    /// 99th percentile of a read over one connection, microseconds.
    GetP99,
    /// Median of a durable write over one connection, microseconds.
    PutP50,
    /// 99th percentile of a durable write over one connection, microseconds.
    PutP99,
    /// Resident memory of an empty, idle process, MB.
    MemoryEmpty,
    /// Resident memory after the load, MB.
    MemoryLoaded,
    /// Resident memory after reads of random keys on top of that, MB.
    MemoryRead,
    /// The most resident memory that there was, MB.
    MemoryPeak,
    /// Start to first answer without data, milliseconds.
    StartEmpty,
    /// Start to first answer with all keys after an orderly end, milliseconds.
    StartClean,
    /// Start to first answer with all keys after a kill under load, milliseconds.
    StartKilled,
    /// Disk for the cities with compression, MB.
    DiskCompressed,
    /// Disk for the cities without compression, MB.
    DiskPlain,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Operations per second.
    PerSecond,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Millions of bytes.
    Megabytes,
}

impl Metric {
    /// What it counts.
    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::GetRate | Self::PutRate => Unit::PerSecond,
            Self::GetCpu | Self::PutCpu | Self::GetBusyP99 | Self::PutBusyP99 => Unit::Microseconds,
            Self::GetP50 | Self::GetP99 | Self::PutP50 | Self::PutP99 => Unit::Microseconds,
            Self::StartEmpty | Self::StartClean | Self::StartKilled => Unit::Milliseconds,
            Self::MemoryEmpty | Self::MemoryLoaded | Self::MemoryRead | Self::MemoryPeak => Unit::Megabytes,
            Self::DiskCompressed | Self::DiskPlain => Unit::Megabytes,
        }
    }
}

impl Unit {
    /// A value with its unit, short enough for a table.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Self::PerSecond if value >= 1000.0 => format!("{:.1} k/s", value / 1000.0),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Microseconds if value < 100.0 => format!("{value:.1} us"),
            Self::Microseconds => format!("{value:.0} us"),
            Self::Milliseconds if value < 1000.0 => format!("{value:.1} ms"),
            Self::Milliseconds => format!("{value:.0} ms"),
            Self::Megabytes => format!("{value:.1} MB"),
        }
    }
}

/// Everything that a run measured.
#[derive(Default)]
pub(crate) struct Figures {
    samples: BTreeMap<(Target, Metric), Vec<f64>>,
    faults: BTreeMap<(Target, Metric), String>,
    absent: BTreeMap<Target, String>,
}

impl Figures {
    /// Adds the sample of one round.
    pub(crate) fn add(&mut self, target: Target, metric: Metric, sample: f64) {
        self.samples.entry((target, metric)).or_default().push(sample);
    }

    /// Voids figures of a target: a round failed. The first reason is kept.
    pub(crate) fn void(&mut self, target: Target, metrics: &[Metric], reason: &str) {
        for metric in metrics {
            self.faults.entry((target, *metric)).or_insert_with(|| reason.to_owned());
        }
    }

    /// Records why a target is not measured at all.
    pub(crate) fn mark_absent(&mut self, target: Target, reason: impl Into<String>) {
        self.absent.insert(target, reason.into());
    }

    /// The targets that are not measured, with the reasons.
    pub(crate) fn absent(&self) -> impl Iterator<Item = (Target, &str)> {
        self.absent.iter().map(|(target, reason)| (*target, reason.as_str()))
    }

    /// The figures that are void, with the reasons.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (Target, Metric, &str)> {
        self.faults.iter().map(|((target, metric), reason)| (*target, *metric, reason.as_str()))
    }

    /// The median over the rounds.
    ///
    /// # Errors
    ///
    /// Why there is no figure, for people.
    pub(crate) fn median(&self, target: Target, metric: Metric) -> Result<f64, String> {
        self.samples_of(target, metric).map(median)
    }

    /// The smallest and the largest sample; `None` when there is no figure.
    pub(crate) fn spread(&self, target: Target, metric: Metric) -> Option<(f64, f64)> {
        let samples = self.samples_of(target, metric).ok()?;
        let smallest = samples.iter().copied().reduce(f64::min)?;
        let largest = samples.iter().copied().reduce(f64::max)?;
        Some((smallest, largest))
    }

    fn samples_of(&self, target: Target, metric: Metric) -> Result<&[f64], String> {
        let label = target.label();
        if let Some(reason) = self.faults.get(&(target, metric)) {
            return Err(format!("{label}: {reason}"));
        }
        if let Some(reason) = self.absent.get(&target) {
            return Err(format!("{label}: {reason}"));
        }
        let samples = self.samples.get(&(target, metric)).map(Vec::as_slice).unwrap_or_default();
        if samples.is_empty() { Err(format!("{label}: not measured")) } else { Ok(samples) }
    }
}

/// The middle sample, or the mean of the two in the middle; 0 without samples.
fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |position: usize| sorted.get(position).copied().unwrap_or(0.0);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(half) } else { (at(half.saturating_sub(1)) + at(half)) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert!((median(&[3.0, 1.0, 1000.0]) - 3.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!((median(&[7.0]) - 7.0).abs() < 1e-9);
    }

    #[test]
    fn one_failed_round_voids_the_figure_and_no_other() {
        let mut figures = Figures::default();
        for sample in [1.0, 2.0, 3.0] {
            figures.add(Target::Node, Metric::GetRate, sample);
            figures.add(Target::Redis, Metric::GetRate, sample);
        }
        figures.void(Target::Node, &[Metric::GetRate], "2 errors");
        assert_eq!(figures.median(Target::Node, Metric::GetRate), Err("kvs: 2 errors".to_owned()));
        assert_eq!(figures.median(Target::Redis, Metric::GetRate), Ok(2.0));
        assert_eq!(figures.spread(Target::Redis, Metric::GetRate), Some((1.0, 3.0)));
    }

    #[test]
    fn a_figure_that_is_not_there_says_why() {
        let mut figures = Figures::default();
        figures.mark_absent(Target::Etcd, "not installed");
        assert_eq!(figures.median(Target::Etcd, Metric::PutRate), Err("etcd: not installed".to_owned()));
        assert_eq!(figures.median(Target::Node, Metric::PutRate), Err("kvs: not measured".to_owned()));
    }

    #[test]
    fn values_are_shown_with_three_or_four_digits() {
        assert_eq!(Unit::PerSecond.text(123_456.0), "123.5 k/s");
        assert_eq!(Unit::PerSecond.text(42.4), "42 /s");
        assert_eq!(Unit::Microseconds.text(48.25), "48.2 us");
        assert_eq!(Unit::Microseconds.text(651.4), "651 us");
        assert_eq!(Unit::Megabytes.text(12.34), "12.3 MB");
        assert_eq!(Unit::Milliseconds.text(54.3), "54.3 ms");
        assert_eq!(Unit::Milliseconds.text(1254.3), "1254 ms");
    }
}
