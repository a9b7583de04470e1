//! What is done to the nodes: one fault after the other, some of them to several nodes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use crate::torture::faketime;
use crate::torture::ledger::{Ledger, Loss};
use crate::torture::nodes::{NODES, Nodes, copy};
use crate::torture::random::Random;

/// How far ahead clocks are set, in seconds: beyond what is configured as bearable, up to ten years.
const AHEAD_S: [u64; 4] = [40, 3_600, 86_400, 315_360_000];

/// Copies kept of each node.
const COPIES: usize = 3;

/// An earlier state of a node's directory.
#[derive(Debug, Clone)]
struct Copy {
    path: PathBuf,
    began_ms: u64,
}

/// The one who does it.
pub(crate) struct Faults<'a> {
    nodes: &'a mut Nodes,
    random: Random,
    ledger: &'a Ledger,
    copies: BTreeMap<usize, Vec<Copy>>,
    made: usize,
}

impl<'a> Faults<'a> {
    /// Nothing was done yet.
    pub(crate) const fn new(nodes: &'a mut Nodes, random: Random, ledger: &'a Ledger) -> Self {
        Self { nodes, random, ledger, copies: BTreeMap::new(), made: 0 }
    }

    /// Does one thing, from its beginning to its end: afterwards all nodes run.
    ///
    /// # Errors
    ///
    /// A node did not start again.
    pub(crate) fn one(&mut self) -> anyhow::Result<()> {
        let node = self.random.place(NODES);
        match self.random.below(100) {
            0..16 => self.kill(node)?,
            16..24 => self.kill_two(node)?,
            24..40 => self.freeze(node),
            40..52 => self.restart(node)?,
            52..64 => self.keep(node)?,
            64..88 => self.put_back(node)?,
            _ if faketime::library().is_some() => self.set_clock(node)?,
            _ => self.freeze(node),
        }
        for said in self.nodes.revive()? {
            self.ledger.event(&said);
            self.ledger.wrong(said);
        }
        Ok(())
    }

    fn wait(&mut self, least_ms: u64, most_ms: u64) {
        thread::sleep(Duration::from_millis(self.random.between(least_ms, most_ms)));
    }

    fn note(&self, kind: &str, node: usize, more: &str) {
        self.ledger.count(&format!("fault: {kind}"));
        self.ledger.event(&format!("n{node}: {kind}{more}"));
    }

    fn kill(&mut self, node: usize) -> anyhow::Result<()> {
        self.note("kill -9", node, "");
        self.nodes.kill(node);
        self.wait(100, 3_000);
        self.nodes.start(node, 0)
    }

    fn kill_two(&mut self, node: usize) -> anyhow::Result<()> {
        let other = (node + 1) % NODES;
        self.note("kill -9 of two", node, &format!(" (and n{other})"));
        self.nodes.kill(node);
        self.nodes.kill(other);
        self.wait(100, 3_000);
        self.nodes.start(other, 0)?;
        self.nodes.start(node, 0)
    }

    fn freeze(&mut self, node: usize) {
        let both = self.random.chance(40);
        let other = (node + 2) % NODES;
        self.note("SIGSTOP and SIGCONT", node, if both { " (and another)" } else { "" });
        self.nodes.freeze(node);
        if both {
            self.nodes.freeze(other);
        }
        self.wait(200, 8_000);
        self.nodes.thaw(node);
        self.nodes.thaw(other);
    }

    fn restart(&mut self, node: usize) -> anyhow::Result<()> {
        self.note("stop and start", node, "");
        self.nodes.stop(node)?;
        self.wait(0, 3_000);
        self.nodes.start(node, 0)
    }

    /// Copies the directory of a node for later: of one that was stopped, or of one that runs.
    fn keep(&mut self, node: usize) -> anyhow::Result<()> {
        let running = self.random.chance(40);
        self.note(if running { "copy of a running node" } else { "copy of a stopped node" }, node, "");
        if !running {
            self.nodes.stop(node)?;
        }
        let began_ms = self.ledger.now_ms();
        self.made += 1;
        let path = self.nodes.folder_of(node).join(format!("copy-{}", self.made));
        copy(&self.nodes.data_of(node), &path)?;
        if !running {
            self.nodes.start(node, 0)?;
        }
        let copies = self.copies.entry(node).or_default();
        copies.push(Copy { path, began_ms });
        if copies.len() > COPIES {
            std::fs::remove_dir_all(copies.remove(0).path).ok();
        }
        Ok(())
    }

    /// Puts a directory back to an earlier copy of itself, with the peers in reach or not.
    fn put_back(&mut self, node: usize) -> anyhow::Result<()> {
        let copies = self.copies.get(&node).cloned().unwrap_or_default();
        let place = self.random.place(copies.len());
        let Some(earlier) = copies.get(place) else { return self.keep(node) };
        let (alone, by_kill) = (self.random.chance(40), self.random.chance(50));
        let age_s = self.ledger.now_ms().saturating_sub(earlier.began_ms) / 1000;
        let kind = if alone { "put back, peers out of reach" } else { "put back" };
        self.note(kind, node, &format!(" (to {age_s} s ago)"));
        if by_kill {
            self.nodes.kill(node);
        } else {
            self.nodes.stop(node)?;
        }
        let until_ms = self.ledger.now_ms();
        let (data, aside) = (self.nodes.data_of(node), self.nodes.folder_of(node).join("aside"));
        std::fs::rename(&data, &aside).context("the directory could not be put aside")?;
        copy(&earlier.path, &data)?;
        if alone {
            self.freeze_others(node);
        }
        let started = self.nodes.start(node, 0);
        if alone {
            self.wait(500, 4_000);
            self.thaw_others(node);
        }
        if let Err(reason) = started {
            // A copy of a running node may be no whole one. Then it must say so, and the node goes on where it was.
            self.note("a copy was refused", node, &format!(": {reason:#}"));
            std::fs::remove_dir_all(&data)?;
            std::fs::rename(&aside, &data)?;
            return self.nodes.start(node, 0);
        }
        self.ledger.lose(Loss { node, since_ms: earlier.began_ms, until_ms });
        std::fs::remove_dir_all(&aside)?;
        Ok(())
    }

    fn set_clock(&mut self, node: usize) -> anyhow::Result<()> {
        let ahead_s = AHEAD_S.get(self.random.place(AHEAD_S.len())).copied().unwrap_or(40);
        let alone = self.random.chance(50);
        let kind = if alone { "clock ahead, peers out of reach" } else { "clock ahead" };
        self.note(kind, node, &format!(" (by {ahead_s} s)"));
        self.nodes.stop(node)?;
        if alone {
            self.freeze_others(node);
        }
        let started = self.nodes.start(node, ahead_s);
        if alone {
            self.wait(500, 3_000);
            self.thaw_others(node);
        }
        started?;
        self.wait(500, 6_000);
        if self.random.chance(30) {
            self.nodes.kill(node);
        } else {
            self.nodes.stop(node)?;
        }
        self.nodes.start(node, 0)?;
        self.ledger.event(&format!("n{node}: clock right again"));
        // What it wrote ahead is taken back before the next fault, which might take that from it.
        thread::sleep(Duration::from_secs(4));
        Ok(())
    }

    fn freeze_others(&self, node: usize) {
        (0..NODES).filter(|other| *other != node).for_each(|other| self.nodes.freeze(other));
    }

    fn thaw_others(&self, node: usize) {
        (0..NODES).filter(|other| *other != node).for_each(|other| self.nodes.thaw(other));
    }
}
