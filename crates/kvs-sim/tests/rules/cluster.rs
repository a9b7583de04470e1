//! Three nodes, two keys, and what can happen to them: the rules of replication, deletes and collection in small.
//!
//! Decisions are taken by the product's own merge, versions and vectors; the rest of a node is cut down to what the
//! rules speak of, so that a state is small and everything that can happen to it can be tried.
//!
//! Time is a tick that passes at most a few times: what was deleted in an earlier tick is older than the grace, and
//! every stamp of a tick is later than all stamps of the tick before (the grace exceeds the spread of the clocks).
//! Within a tick a node's clock may be ahead or not, so that writes tie and overtake each other.

use kvs_core::digest::ContentDigest;
use kvs_core::merge::{Merge, merge};
use kvs_core::origin::{Dot, Origin};
use kvs_core::record::{Kind, Payload, Principal, Record};
use kvs_core::stamp::Stamp;
use kvs_core::vector::Vector;
use kvs_core::version::Version;
use uuid::Uuid;

/// Nodes.
pub(crate) const NODES: usize = 3;
/// Keys.
pub(crate) const KEYS: usize = 2;
/// Identities: one for each node, and one for the node that is restored.
pub(crate) const ORIGINS: usize = NODES + 1;
/// Most writes of one run.
pub(crate) const WRITES_MAX: usize = 4;

/// The node that may be restored from an older state, and its identity afterwards.
const RESTORED_NODE: usize = NODES - 1;
const RESTORED_ORIGIN: u8 = NODES as u8;

/// How far a clock that is ahead is ahead, and how far ticks are apart, in milliseconds.
const AHEAD_MS: u64 = 3;
const TICK_MS: u64 = 10;

/// Which rules hold; the product has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// A covered live version of a key of which nothing is held is answered with "drop".
    pub(crate) drop: bool,
    /// A tombstone is collected only when every member's vector covers it.
    pub(crate) every_vector: bool,
    /// A tombstone is collected only when it is older than the grace.
    pub(crate) grace: bool,
    /// A session hands over the tombstones that the asker's vector does not cover before that vector rises.
    pub(crate) tombstones: bool,
    /// A covered tombstone of a key of which nothing is held is ignored, not taken for something to drop.
    pub(crate) ignore_tombstones: bool,
    /// A node restored from an older state is a new node.
    pub(crate) new_identity: bool,
}

/// All rules.
pub(crate) const ALL_RULES: Rules = Rules {
    drop: true,
    every_vector: true,
    grace: true,
    tombstones: true,
    ignore_tombstones: true,
    new_identity: true,
};

/// A write that some node accepted; its place in the list of writes, from 1, is its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Accepted {
    pub(crate) key: u8,
    origin: u8,
    seq: u8,
    ms: u8,
    counter: u8,
    pub(crate) live: bool,
    tick: u8,
}

/// The name of a write; 0 for none.
type Name = u8;

/// Numbers covered, by origin.
type Covered = [u8; ORIGINS];

/// A node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Node {
    pub(crate) origin: u8,
    pub(crate) held: [Name; KEYS],
    /// By key, the number of this node's own last write of it.
    log: [u8; KEYS],
    vector: Covered,
    /// What the others were last known to cover, by their identity.
    known: [Covered; ORIGINS],
    /// Up to which of this node's own numbers the others have its log, by their identity.
    cursors: [u8; ORIGINS],
}

/// A message that is still under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Message {
    /// A batch of a log, with its claim.
    Batch { from: u8, to: u8, after: u8, up_to: u8, records: [Name; KEYS], vector: Covered },
    /// The answer to a session's question.
    Answer { from: u8, to: u8, records: [Name; KEYS], drops: [Name; KEYS], vector: Covered },
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    /// Delivered, and the answer heard.
    Heard,
    /// Delivered, but the answer was lost.
    Unheard,
    /// It is still under way.
    Late,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Happening {
    /// A client writes or deletes.
    Write { node: u8, key: u8, live: bool, clock_is_ahead: bool },
    /// A node ships its log.
    Ship { from: u8, to: u8, fate: Fate },
    /// A node asks another one for everything that it lacks.
    Session { asker: u8, responder: u8, fate: Fate },
    /// The message under way arrives; a copy of it may stay.
    Arrive { leaves_copy: bool },
    /// The message under way is lost.
    Lose,
    /// The grace passes.
    Tick,
    /// A node collects what it may.
    Collect { node: u8 },
    /// The state of the last node is kept aside.
    Keep,
    /// The last node is gone, and what was kept of it is started.
    Restore,
}

/// Everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Cluster {
    pub(crate) nodes: [Node; NODES],
    pub(crate) writes: [Accepted; WRITES_MAX],
    pub(crate) written: u8,
    pub(crate) tick: u8,
    pub(crate) under_way: Option<Message>,
    pub(crate) kept: Option<Node>,
    pub(crate) restored: bool,
    /// By key, the newest tombstone that any node collected.
    pub(crate) collected: [Name; KEYS],
    /// Whether "drop" ever removed the newest write of a key.
    pub(crate) newest_dropped: bool,
}

impl Cluster {
    /// Nobody has written anything.
    pub(crate) fn new() -> Self {
        let mut cluster = Self::default();
        for (node, origin) in cluster.nodes.iter_mut().zip(0..) {
            node.origin = origin;
        }
        cluster
    }

    /// The record of a write.
    pub(crate) fn record(&self, name: Name) -> Record {
        let accepted = self.accepted(name);
        Record {
            version: Version {
                stamp: Stamp { ms: accepted.ms.into(), counter: accepted.counter.into() },
                origin_joined_ms: accepted.origin.into(),
                uuid: Uuid::from_u128(name.into()),
            },
            dot: self.dot(name),
            kind: if accepted.live { Kind::Value } else { Kind::Tombstone },
            expires_at_ms: 0,
            author: Principal::nobody(),
            owner: Principal::nobody(),
            digest: ContentDigest([name; 16]),
            payload: Payload::empty(),
        }
    }

    pub(crate) fn accepted(&self, name: Name) -> &Accepted {
        &self.writes[usize::from(name) - 1]
    }

    /// Whether one write wins over another one of the same key, or over nothing.
    pub(crate) fn wins(&self, name: Name, over: Name) -> bool {
        let stored = (over != 0).then(|| self.record(over));
        matches!(merge(stored.as_ref(), &self.record(name)), Merge::First | Merge::Replaces(_))
    }

    /// The newest write of a key; 0 when there is none.
    pub(crate) fn newest(&self, key: usize) -> Name {
        let of_key = (1..=self.written).filter(|name| usize::from(self.accepted(*name).key) == key);
        of_key.fold(0, |newest, name| if self.wins(name, newest) { name } else { newest })
    }

    fn dot(&self, name: Name) -> Dot {
        let accepted = self.accepted(name);
        Dot { origin: origin(accepted.origin), seq: accepted.seq.into() }
    }

    fn covers(&self, covered: &Covered, name: Name) -> bool {
        let dot = self.dot(name);
        let mut vector = Vector::default();
        vector.raise(dot.origin, covered[usize::from(self.accepted(name).origin)].into());
        vector.covers(&dot)
    }

    /// A client's write; answers whether it was one.
    pub(crate) fn write(&mut self, node: usize, key: usize, live: bool, clock_is_ahead: bool) -> bool {
        let held = self.nodes[node].held[key];
        if usize::from(self.written) == WRITES_MAX || !live && (held == 0 || !self.accepted(held).live) {
            return false;
        }
        let now_ms = u64::from(self.tick) * TICK_MS + if clock_is_ahead { AHEAD_MS } else { 0 };
        let stored = (held != 0).then(|| self.record(held).version.stamp);
        let Some(stamp) = Stamp::over(now_ms, stored) else { return false };
        let writer = &mut self.nodes[node];
        let own = usize::from(writer.origin);
        writer.vector[own] += 1;
        writer.log[key] = writer.vector[own];
        self.written += 1;
        writer.held[key] = self.written;
        self.writes[usize::from(self.written) - 1] = Accepted {
            key: key as u8,
            origin: writer.origin,
            seq: writer.vector[own],
            ms: stamp.ms as u8,
            counter: stamp.counter as u8,
            live,
            tick: self.tick,
        };
        true
    }

    /// The batch that a node ships to another one: its own writes that the other has not acknowledged, each as
    /// whatever record is current for its key.
    pub(crate) fn batch(&self, from: usize, to: usize) -> Message {
        let sender = &self.nodes[from];
        let after = sender.cursors[usize::from(self.nodes[to].origin)];
        let mut records = [0; KEYS];
        for (key, record) in records.iter_mut().enumerate() {
            if sender.log[key] > after {
                *record = sender.held[key];
            }
        }
        let up_to = sender.vector[usize::from(sender.origin)];
        let (from, to) = (sender.origin, self.nodes[to].origin);
        Message::Batch { from, to, after, up_to, records, vector: sender.vector }
    }

    /// The answer to an asker: what it lacks, what it holds too old a version of, what it must drop.
    pub(crate) fn answer(&mut self, asker: usize, responder: usize, rules: &Rules) -> Message {
        let theirs = self.nodes[asker];
        let covered = self.nodes[responder].vector;
        let (mut records, mut drops) = ([0; KEYS], [0; KEYS]);
        for key in 0..KEYS {
            let (mine, offered) = (self.nodes[responder].held[key], theirs.held[key]);
            let offers = offered != 0 && self.accepted(offered).live;
            if offers && mine != offered {
                if self.offer(responder, offered, rules) == Offered::Drop {
                    drops[key] = offered;
                } else if self.nodes[responder].held[key] != offered {
                    records[key] = mine;
                }
            } else if mine != 0 && !offers {
                let is_due =
                    self.accepted(mine).live || rules.tombstones && !self.covers(&theirs.vector, mine);
                if is_due {
                    records[key] = mine;
                }
            }
        }
        self.nodes[responder].known[usize::from(theirs.origin)] = theirs.vector;
        let (from, to) = (self.nodes[responder].origin, theirs.origin);
        Message::Answer { from, to, records, drops, vector: covered }
    }

    /// A message arrives; the sender hears of it or not.
    pub(crate) fn arrive(&mut self, message: &Message, is_heard: bool, rules: &Rules) {
        match message {
            Message::Batch { from, to, after, up_to, records, vector } => {
                let Some(receiver) = self.node_of(*to) else { return };
                let drops = self.take(receiver, records, rules);
                let node = &mut self.nodes[receiver];
                let own = usize::from(*from);
                if node.vector[own] >= *after {
                    node.vector[own] = node.vector[own].max(*up_to);
                }
                raise(&mut node.known[own], vector);
                let (acknowledged, covered) = (node.vector[own], node.vector);
                if let (true, Some(sender)) = (is_heard, self.node_of(*from)) {
                    let node = &mut self.nodes[sender];
                    node.cursors[usize::from(*to)] = node.cursors[usize::from(*to)].max(acknowledged);
                    raise(&mut node.known[usize::from(*to)], &covered);
                    self.forget(sender, &drops, rules);
                }
            }
            Message::Answer { from, to, records, drops, vector } => {
                let Some(asker) = self.node_of(*to) else { return };
                let back = self.take(asker, records, rules);
                self.forget(asker, drops, rules);
                let node = &mut self.nodes[asker];
                let own = node.vector[usize::from(node.origin)];
                raise(&mut node.vector, vector);
                node.vector[usize::from(node.origin)] = own;
                raise(&mut node.known[usize::from(*from)], vector);
                if let (true, Some(responder)) = (is_heard, self.node_of(*from)) {
                    self.forget(responder, &back, rules);
                }
            }
        }
    }

    /// Takes records from outside; answers those that the other side must drop.
    fn take(&mut self, node: usize, records: &[Name; KEYS], rules: &Rules) -> [Name; KEYS] {
        let mut drops = [0; KEYS];
        for (key, name) in records.iter().enumerate() {
            if *name != 0 && self.offer(node, *name, rules) == Offered::Drop {
                drops[key] = *name;
            }
        }
        drops
    }

    /// A record from outside.
    fn offer(&mut self, node: usize, name: Name, rules: &Rules) -> Offered {
        let accepted = *self.accepted(name);
        let held = self.nodes[node].held[usize::from(accepted.key)];
        if held == 0 && self.covers(&self.nodes[node].vector, name) {
            if !accepted.live && rules.ignore_tombstones {
                return Offered::Known;
            }
            if rules.drop {
                return Offered::Drop;
            }
        }
        if !self.wins(name, held) {
            return Offered::Known;
        }
        self.nodes[node].held[usize::from(accepted.key)] = name;
        Offered::Taken
    }

    /// Forgets exactly these versions.
    fn forget(&mut self, node: usize, drops: &[Name; KEYS], rules: &Rules) {
        if !rules.drop {
            return;
        }
        for (key, name) in drops.iter().enumerate() {
            if *name != 0 && self.nodes[node].held[key] == *name {
                self.nodes[node].held[key] = 0;
                self.newest_dropped |= self.newest(key) == *name;
            }
        }
    }

    /// A node collects every tombstone that it may.
    pub(crate) fn collect(&mut self, node: usize, rules: &Rules) {
        for key in 0..KEYS {
            let held = self.nodes[node].held[key];
            if held == 0 || self.accepted(held).live {
                continue;
            }
            let me = self.nodes[node];
            let is_old = self.accepted(held).tick < self.tick;
            let is_everywhere = self.covers(&me.vector, held)
                && self.nodes.iter().all(|member| {
                    member.origin == me.origin || self.covers(&me.known[usize::from(member.origin)], held)
                });
            if (is_old || !rules.grace) && (is_everywhere || !rules.every_vector) {
                self.nodes[node].held[key] = 0;
                if self.wins(held, self.collected[key]) {
                    self.collected[key] = held;
                }
            }
        }
    }

    /// Starts what was kept of the last node; answers whether anything was.
    pub(crate) fn restore(&mut self, rules: &Rules) -> bool {
        let Some(kept) = self.kept.take() else { return false };
        self.restored = true;
        self.nodes[RESTORED_NODE] = if rules.new_identity {
            Node { origin: RESTORED_ORIGIN, held: kept.held, vector: kept.vector, ..Node::default() }
        } else {
            kept
        };
        true
    }

    /// Keeps the state of the last node aside.
    pub(crate) fn keep(&mut self) {
        self.kept = Some(self.nodes[RESTORED_NODE]);
    }

    /// The node that goes by this identity now.
    fn node_of(&self, origin: u8) -> Option<usize> {
        self.nodes.iter().position(|node| node.origin == origin)
    }
}

/// What became of an offered record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offered {
    Taken,
    Known,
    Drop,
}

fn origin(number: u8) -> Origin {
    Origin { node: Uuid::from_u128(number.into()), epoch: 1 }
}

fn raise(covered: &mut Covered, other: &Covered) {
    for (seq, other) in covered.iter_mut().zip(other) {
        *seq = (*seq).max(*other);
    }
}
