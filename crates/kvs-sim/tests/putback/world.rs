//! Nodes, messages that are late, doubled, reordered or lost, and what befalls nodes.

use std::collections::BTreeSet;

use crate::judge::Judge;
use crate::messages::Body;
use crate::node::Node;
use crate::random::Random;
use crate::rules::{LIMIT, Rule};
use crate::vector::Id;
use crate::weather::Weather;

/// Directories that are kept, to be put back later.
const KEPT: usize = 8;
/// Ticks after everything is mended.
const QUIET: u32 = 260;

#[derive(Clone, Debug)]
struct Message {
    due: i64,
    from: Id,
    to: Id,
    body: Body,
}

pub(crate) struct World {
    pub(crate) weather: Weather,
    random: Random,
    pub(crate) tick: i64,
    pub(crate) nodes: Vec<Node>,
    messages: Vec<Message>,
    kept: Vec<Node>,
    pub(crate) judge: Judge,
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let members: BTreeSet<Id> = (0..weather.nodes).collect();
        let mut world = Self {
            weather,
            random: Random::new(seed),
            tick: 100,
            nodes: members.iter().map(|&id| Node::new(id, weather.rules, &members)).collect(),
            messages: Vec::new(),
            kept: Vec::new(),
            judge: Judge::default(),
        };
        for at in 0..world.nodes.len() {
            world.nodes[at].skew = world.random.pick(&[0, 0, 2, -2, 3]);
            world.start(at);
        }
        world
    }

    /// One whole schedule; what went wrong, if anything did.
    pub(crate) fn run(seed: u64, weather: Weather) -> Judge {
        let mut world = Self::new(seed, weather);
        for _ in 0..weather.steps {
            world.step(false);
        }
        world.mend();
        world.judge
    }

    /// Faults end; what is left has time to settle, and is judged.
    pub(crate) fn mend(&mut self) {
        for node in &mut self.nodes {
            node.cut.clear();
            if node.skew.abs() > LIMIT {
                node.set_clock(0, false);
            }
        }
        for _ in 0..QUIET {
            self.step(true);
        }
        self.judge.end(&self.nodes, self.weather.keys);
    }

    pub(crate) fn step(&mut self, quiet: bool) {
        self.tick += 1;
        for node in &mut self.nodes {
            node.tick = self.tick;
        }
        self.deliver_due(quiet);
        for node in &mut self.nodes {
            node.admit();
        }
        if !quiet {
            self.befall();
        }
        self.exchange(quiet);
        let at = self.random.below(self.nodes.len());
        if self.random.often(500) {
            self.nodes[at].collect();
            self.nodes[at].fold();
        }
        self.listen();
    }

    /// Tells the judge what the nodes did.
    fn listen(&mut self) {
        for node in &mut self.nodes {
            for event in std::mem::take(&mut node.events) {
                self.judge.note(node.id, event);
            }
        }
    }

    fn deliver_due(&mut self, quiet: bool) {
        let (mut due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.messages).into_iter().partition(|message| message.due <= self.tick);
        self.messages = later;
        for at in (1..due.len()).rev() {
            due.swap(at, self.random.below(at + 1));
        }
        for message in due {
            if !quiet && self.random.often(50) {
                let again = Message { due: self.tick + 1 + self.random.below(8) as i64, ..message.clone() };
                self.messages.push(again);
            }
            self.deliver(message);
        }
    }

    fn deliver(&mut self, message: Message) {
        let (from, to) = (usize::from(message.from), usize::from(message.to));
        if self.cut_off(from, to) {
            return;
        }
        let answer = self.nodes[to].receive(message.from, message.body);
        self.listen();
        if self.weather.rules.has(Rule::Named) && !self.weather.end_only {
            self.judge.named(&self.nodes[to]);
        }
        if let Some(body) = answer {
            if let Body::Ack { vector, .. } = &body
                && !self.weather.end_only
            {
                self.judge.told(&self.nodes[to], vector);
            }
            self.send(to, from, body);
        }
    }

    fn cut_off(&self, one: usize, other: usize) -> bool {
        self.nodes[one].cut.contains(&(other as Id)) || self.nodes[other].cut.contains(&(one as Id))
    }

    fn send(&mut self, from: usize, to: usize, body: Body) {
        let due = self.tick + self.random.below(9) as i64;
        self.messages.push(Message { due, from: from as Id, to: to as Id, body });
    }

    fn exchange(&mut self, quiet: bool) {
        let count = self.nodes.len();
        let (from, to) = (self.random.below(count), self.random.below(count));
        if from != to && (quiet || self.random.often(500)) {
            let body = self.nodes[from].ship(to as Id);
            self.send(from, to, body);
        }
        if self.random.often(if quiet { 600 } else { 150 }) {
            let (from, to) = (self.random.below(count), self.random.below(count));
            if from != to {
                let body = self.nodes[from].pull();
                self.send(from, to, body);
            }
        }
    }

    /// One thing happens to one node.
    fn befall(&mut self) {
        let at = self.random.below(self.nodes.len());
        let Weather { storm, havoc, .. } = self.weather;
        let odds = [250, 30 * storm, 40, 40, 15 * havoc, 10 * storm, 35 * storm, 15, 5];
        let mut drawn = self.random.below(1000);
        let event = odds.iter().position(|&odd| {
            let hit = drawn < odd;
            drawn = drawn.saturating_sub(odd);
            hit
        });
        match event {
            Some(0) => self.client_writes(at),
            Some(1) => {
                let other = self.random.below(self.nodes.len());
                if other != at {
                    self.nodes[at].cut.insert(other as Id);
                }
            }
            Some(2) => self.nodes[at].cut.clear(),
            Some(3) => self.keep(at),
            Some(4) if self.weather.putback => self.put_back(at),
            Some(5) if !self.weather.ahead.is_empty() => {
                self.judge.count("clocks");
                let skew = self.random.pick(self.weather.ahead);
                let noticed = self.random.often(500);
                self.nodes[at].set_clock(skew, noticed);
            }
            Some(6) if self.nodes[at].skew.abs() > LIMIT => {
                let noticed = self.random.often(500);
                self.nodes[at].set_clock(0, noticed);
            }
            Some(7) if self.weather.restarts => {
                self.judge.count("restarts");
                self.start(at);
            }
            Some(8) if self.weather.joins && self.nodes.len() == usize::from(self.weather.nodes) => {
                self.join()
            }
            _ => {}
        }
    }

    fn client_writes(&mut self, at: usize) {
        let (key, live) = (self.random.below(usize::from(self.weather.keys)) as u8, self.random.often(600));
        let found_ahead = self.nodes[at].skew > LIMIT
            && (0..self.nodes.len()).any(|peer| peer != at && !self.cut_off(at, peer));
        if !(found_ahead && self.weather.rules.has(Rule::Refuse)) {
            self.nodes[at].write(key, live);
        }
    }

    /// A start of a node: what was on its way to or from it is gone.
    pub(crate) fn start(&mut self, at: usize) {
        let id = at as Id;
        self.messages.retain(|message| message.from != id && message.to != id);
        let seed = self.random.bits();
        self.nodes[at].tick = self.tick;
        self.nodes[at].start(seed);
    }

    fn keep(&mut self, at: usize) {
        let copy = self.nodes[at].clone();
        if self.kept.len() < KEPT {
            self.kept.push(copy);
        } else {
            let place = self.random.below(KEPT);
            self.kept[place] = copy;
        }
    }

    fn put_back(&mut self, at: usize) {
        self.listen();
        let mine: Vec<_> = (0..self.kept.len()).filter(|&i| usize::from(self.kept[i].id) == at).collect();
        if mine.is_empty() {
            return;
        }
        let node = &self.nodes[at];
        let (cut, skew, members) = (node.cut.clone(), node.skew, node.members.clone());
        let old = self.kept[self.random.pick(&mine)].clone();
        self.nodes[at] = Node { cut, skew, members, events: Vec::new(), ..old };
        self.start(at);
        self.judge.count("put back");
        self.judge.directories_changed(&self.nodes);
    }

    /// An empty node joins and asks one peer for everything.
    fn join(&mut self) {
        self.judge.count("joined");
        let id = self.nodes.len() as Id;
        let mut members = self.nodes[0].members.clone();
        members.insert(id);
        self.nodes.push(Node::new(id, self.weather.rules, &members));
        for node in &mut self.nodes {
            node.members.clone_from(&members);
        }
        self.start(usize::from(id));
        let peer = self.random.below(usize::from(id));
        let body = self.nodes[usize::from(id)].pull();
        self.send(usize::from(id), peer, body);
    }
}
