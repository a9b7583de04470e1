//! What is looked at while clients write: disk and CPU of each node, and how far the peer is behind the others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::bench::away::writers::Ledger;
use crate::bench::cluster::group::Group;
use crate::bench::cluster::talk::Talk;
use crate::bench::histogram::Histogram;
use crate::bench::reader::Protocol;
use crate::bench::{blocks, node};
use crate::clock;

/// Which node goes away: the last. The ones before it stay.
pub(crate) const PEER: usize = 2;

/// The nodes at one moment.
pub(crate) struct Look {
    /// When.
    pub(crate) at: Instant,
    /// Writes answered until then.
    pub(crate) rows: u64,
    /// Bytes of disk of each node that stays.
    pub(crate) disk: Vec<u64>,
    /// The same by folder, of all of them together.
    pub(crate) by_folder: BTreeMap<PathBuf, u64>,
    /// CPU time of all nodes that stay.
    pub(crate) cpu: Duration,
}

impl Look {
    /// Looks at the nodes that stay.
    ///
    /// # Errors
    ///
    /// One of them is gone.
    pub(crate) fn take(group: &Group, ledger: &Ledger) -> anyhow::Result<Self> {
        let (mut disk, mut by_folder, mut cpu) = (Vec::new(), BTreeMap::new(), Duration::ZERO);
        for number in 0..PEER {
            let folders = blocks::allocated_by_folder(&node::data_dir(&group.folder_of(number)))?;
            disk.push(folders.values().sum());
            for (folder, bytes) in folders {
                *by_folder.entry(folder).or_default() += bytes;
            }
            cpu += group.node(number)?.cpu_time()?;
        }
        Ok(Self { at: clock::now(), rows: ledger.rows(), disk, by_folder, cpu })
    }

    /// Bytes of disk of all nodes that stay.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.disk.iter().sum()
    }
}

/// Two looks and what lies between them.
pub(crate) struct Phase {
    /// At its beginning.
    pub(crate) from: Look,
    /// At its end.
    pub(crate) to: Look,
    /// The most disk that the nodes that stay had together at any look, in bytes.
    pub(crate) disk_most: u64,
}

impl Phase {
    /// How long it was, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.to.at.duration_since(self.from.at).as_secs_f64()
    }

    /// Writes answered within it.
    pub(crate) fn rows(&self) -> u64 {
        self.to.rows.saturating_sub(self.from.rows)
    }

    /// How much the disk of a node that stays has grown, in bytes: the mean of them.
    pub(crate) fn growth(&self) -> f64 {
        (self.to.disk_bytes() as f64 - self.from.disk_bytes() as f64) / PEER as f64
    }

    /// CPU of a node that stays, in hundredths of a core.
    pub(crate) fn cpu(&self) -> f64 {
        (self.to.cpu.saturating_sub(self.from.cpu)).as_secs_f64() / self.seconds() / PEER as f64 * 100.0
    }

    /// How long its batches took.
    pub(crate) fn latency(&self, ledger: &Ledger) -> Latency {
        Latency::of(ledger, self.from.at, self.to.at)
    }

    /// The folders that grew the most, with the growth of a node that stays in bytes.
    pub(crate) fn grown(&self, count: usize) -> Vec<(PathBuf, f64)> {
        let before = |folder| self.from.by_folder.get(folder).copied().unwrap_or(0);
        let mut grown: Vec<(PathBuf, f64)> = self
            .to
            .by_folder
            .iter()
            .map(|(folder, bytes)| (folder.clone(), (*bytes as f64 - before(folder) as f64) / PEER as f64))
            .collect();
        grown.sort_by(|one, other| other.1.total_cmp(&one.1));
        grown.truncate(count);
        grown
    }
}

/// How long batches took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Latency {
    /// Half of them took at most this.
    pub(crate) p50: f64,
    /// Of a hundred 99 took at most this.
    pub(crate) p99: f64,
}

impl Latency {
    /// Of the batches that were answered between two moments.
    pub(crate) fn of(ledger: &Ledger, from: Instant, to: Instant) -> Self {
        let mut histogram = Histogram::new();
        for batch in ledger.between(from, to) {
            histogram.record(u64::try_from(batch.took.as_nanos()).unwrap_or(u64::MAX));
        }
        let ms = |per_mille| histogram.quantile(per_mille).map_or(f64::NAN, |ns| ns as f64 / 1e6);
        Self { p50: ms(500), p99: ms(990) }
    }
}

/// Asks each node that stays how far the peer is behind its log.
pub(crate) struct Standings {
    talks: Vec<Talk>,
    peer: String,
}

impl Standings {
    /// Connects to the nodes that stay.
    ///
    /// # Errors
    ///
    /// One of them takes no connection.
    pub(crate) fn open(group: &Group) -> anyhow::Result<Self> {
        let talks: anyhow::Result<Vec<Talk>> =
            (0..PEER).map(|number| Talk::open(group.node(number)?.address, Protocol::Http)).collect();
        Ok(Self { talks: talks?, peer: format!("node-{PEER}") })
    }

    /// Rows of each one's log that the peer has not acknowledged; `None` while that is not known.
    ///
    /// # Errors
    ///
    /// A node does not answer.
    pub(crate) fn lags(&mut self) -> anyhow::Result<Vec<Option<u64>>> {
        let peer = self.peer.as_str();
        self.talks.iter_mut().map(|talk| lag(&talk.json("/cluster/convergence")?, peer)).collect()
    }
}

/// What an answer of `/cluster/convergence` says of the peer of this name.
fn lag(answer: &Value, peer: &str) -> anyhow::Result<Option<u64>> {
    let peers = answer.get("peers").and_then(Value::as_array).context("an answer without peers")?;
    let has_name = |it: &&Value| it.get("id").and_then(Value::as_str) == Some(peer);
    Ok(peers.iter().find(has_name).and_then(|peer| peer.get("lag_records")).and_then(Value::as_u64))
}

/// What each node tells of its sessions since its start: held, given up, and the records that they brought it.
///
/// # Errors
///
/// A node does not answer.
pub(crate) fn sessions(group: &Group) -> anyhow::Result<Vec<String>> {
    let of = |number: usize| -> anyhow::Result<String> {
        let mut talk = Talk::open(group.node(number)?.address, Protocol::Http)?;
        let answer = talk.json("/cluster/convergence")?;
        let count = |name: &str| answer.get("sessions").and_then(|it| it.get(name)).and_then(Value::as_u64);
        let [held, failed, records] = ["held", "failed", "records"].map(|name| count(name).unwrap_or(0));
        Ok(format!("{held} held, {failed} given up, {records} records"))
    };
    (0..=PEER).map(of).collect()
}

/// Writes a key on each node that stays and asks the peer for all of them, for as long as `patience`; whether it had them.
///
/// # Errors
///
/// A write was not answered with success.
pub(crate) fn probe(group: &Group, number: u64, patience: Duration) -> anyhow::Result<bool> {
    let key = |node: usize| format!("away/probe/{node}/{number}");
    for node in 0..PEER {
        let mut talk = Talk::open(group.node(node)?.address, Protocol::Http)?;
        let request = format!(
            "PUT /kv/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1",
            key(node)
        );
        let answer = talk.ask(request.as_bytes())?;
        if !answer.success {
            bail!("a write was answered with {}", answer.status);
        }
    }
    let begin = clock::now();
    let Ok(mut talk) = Talk::open(group.node(PEER)?.address, Protocol::Http) else { return Ok(false) };
    for node in 0..PEER {
        let request = format!("GET /kv/{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", key(node));
        while !talk.ask(request.as_bytes()).is_ok_and(|answer| answer.success) {
            if begin.elapsed() > patience {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_peer_is_behind_is_read_by_its_name_and_may_be_unknown() {
        let answer = serde_json::json!({"peers": [
            {"id": "node-1", "lag_records": 5}, {"id": "node-2", "lag_records": null},
        ]});
        assert_eq!(lag(&answer, "node-1").unwrap(), Some(5));
        assert_eq!(lag(&answer, "node-2").unwrap(), None);
        assert_eq!(lag(&answer, "node-3").unwrap(), None);
        assert!(lag(&serde_json::json!({}), "node-1").is_err());
    }
}
