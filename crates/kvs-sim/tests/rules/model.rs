//! The model as the checker sees it: what can happen in a state, and what must hold in each.
//!
//! What must hold in the end is asked of every state: faults end, everybody ships and asks twice, the grace passes,
//! everybody collects and asks twice again. So a state from which the cluster cannot recover is found at once.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stateright::{Model, Property};

use crate::cluster::{Cluster, Fate, Happening, KEYS, NODES, Rules};

/// The names of what must hold.
pub(crate) const NO_RESURRECTION: &str = "a value older than a collected delete is not alive in the end";
pub(crate) const EQUALITY: &str = "after two rounds all nodes hold the same values";
pub(crate) const NEWEST_WINS: &str =
    "unless a node was restored, the newest write of each key is what they hold";
pub(crate) const NEWEST_STAYS: &str = "the drop rule never removes the newest write";
pub(crate) const ALL_COLLECTED: &str = "in the end every tombstone is collected";

/// Which runs are tried.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// The rules that hold.
    pub(crate) rules: Rules,
    /// How many keys are written, at most [`KEYS`].
    pub(crate) keys: u8,
    /// Most writes.
    pub(crate) writes: u8,
    /// Most ticks.
    pub(crate) ticks: u8,
    /// Whether messages may be late, doubled or lost on their own.
    pub(crate) messages_stray: bool,
    /// Whether the last node may be restored.
    pub(crate) restores: bool,
    /// Where runs begin.
    pub(crate) begins: Vec<Cluster>,
    /// How many states were looked at.
    pub(crate) looked_at: Arc<AtomicUsize>,
}

/// What does not hold in a state, or in what it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Broken {
    resurrected: bool,
    unequal: bool,
    newest_lost: bool,
    newest_dropped: bool,
    left: bool,
}

thread_local! {
    /// The last state that was looked at: every property asks for the same.
    static LAST: Cell<Option<(Cluster, Broken)>> = const { Cell::new(None) };
}

impl Bounds {
    /// Faults end: what is broken after two rounds, and after the grace, collection and two more rounds.
    fn broken(&self, state: &Cluster) -> Broken {
        if let Some((last, broken)) = LAST.get()
            && last == *state
        {
            return broken;
        }
        self.looked_at.fetch_add(1, Ordering::Relaxed);
        let mut end = *state;
        end.under_way = None;
        let mut broken = Broken::default();
        self.rounds(&mut end);
        broken.look(&end);
        end.tick += 1;
        for node in 0..NODES {
            end.collect(node, &self.rules);
            self.rounds(&mut end);
        }
        broken.look(&end);
        broken.left = end.nodes.iter().any(|node| node.held.iter().any(|name| *name != value(&end, *name)));
        LAST.set(Some((*state, broken)));
        broken
    }

    /// Two rounds: everybody ships to everybody and asks everybody.
    fn rounds(&self, cluster: &mut Cluster) {
        for _ in 0..2 {
            for (from, to) in pairs() {
                let batch = cluster.batch(from, to);
                cluster.arrive(&batch, true, &self.rules);
            }
            for (asker, responder) in pairs() {
                let answer = cluster.answer(asker, responder, &self.rules);
                cluster.arrive(&answer, true, &self.rules);
            }
        }
    }
}

impl Broken {
    fn look(&mut self, cluster: &Cluster) {
        for key in 0..KEYS {
            let values = cluster.nodes.map(|node| value(cluster, node.held[key]));
            let newest = value(cluster, cluster.newest(key));
            self.unequal |= values.iter().any(|held| *held != values[0]);
            self.newest_lost |= !cluster.restored && values.iter().any(|held| *held != newest);
            let collected = cluster.collected[key];
            self.resurrected |=
                collected != 0 && values.iter().any(|held| *held != 0 && cluster.wins(collected, *held));
        }
        self.newest_dropped |= cluster.newest_dropped;
    }
}

impl Model for Bounds {
    type State = Cluster;
    type Action = Happening;

    fn init_states(&self) -> Vec<Cluster> {
        self.begins.clone()
    }

    fn actions(&self, state: &Cluster, actions: &mut Vec<Happening>) {
        for node in 0..NODES as u8 {
            if state.written < self.writes {
                for key in 0..self.keys {
                    for (live, clock_is_ahead) in [(true, false), (true, true), (false, false), (false, true)]
                    {
                        actions.push(Happening::Write { node, key, live, clock_is_ahead });
                    }
                }
            }
            actions.push(Happening::Collect { node });
        }
        let is_free = self.messages_stray && state.under_way.is_none();
        for (from, to) in pairs() {
            let (from, to) = (from as u8, to as u8);
            for fate in [Fate::Heard, Fate::Unheard, Fate::Late] {
                if fate == Fate::Heard || is_free {
                    actions.push(Happening::Ship { from, to, fate });
                    actions.push(Happening::Session { asker: from, responder: to, fate });
                }
            }
        }
        if state.under_way.is_some() {
            actions.extend([
                Happening::Arrive { leaves_copy: false },
                Happening::Arrive { leaves_copy: true },
                Happening::Lose,
            ]);
        }
        if state.tick < self.ticks {
            actions.push(Happening::Tick);
        }
        if self.restores && !state.restored {
            actions.push(if state.kept.is_none() { Happening::Keep } else { Happening::Restore });
        }
    }

    fn next_state(&self, state: &Cluster, action: Happening) -> Option<Cluster> {
        let mut next = *state;
        let rules = &self.rules;
        match action {
            Happening::Write { node, key, live, clock_is_ahead } => {
                next.write(node.into(), key.into(), live, clock_is_ahead);
            }
            Happening::Ship { from, to, fate } => {
                let batch = next.batch(from.into(), to.into());
                match fate {
                    Fate::Late => next.under_way = Some(batch),
                    Fate::Heard | Fate::Unheard => next.arrive(&batch, fate == Fate::Heard, rules),
                }
            }
            Happening::Session { asker, responder, fate } => {
                let answer = next.answer(asker.into(), responder.into(), rules);
                match fate {
                    Fate::Late => next.under_way = Some(answer),
                    Fate::Heard => next.arrive(&answer, true, rules),
                    Fate::Unheard => {}
                }
            }
            Happening::Arrive { leaves_copy } => {
                let message = next.under_way?;
                next.arrive(&message, false, rules);
                if !leaves_copy {
                    next.under_way = None;
                }
            }
            Happening::Lose => next.under_way = None,
            Happening::Tick => next.tick += 1,
            Happening::Collect { node } => next.collect(node.into(), rules),
            Happening::Keep => next.keep(),
            Happening::Restore => {
                next.restore(rules);
            }
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NO_RESURRECTION, |model: &Self, state| !model.broken(state).resurrected),
            Property::always(EQUALITY, |model: &Self, state| !model.broken(state).unequal),
            Property::always(NEWEST_WINS, |model: &Self, state| !model.broken(state).newest_lost),
            Property::always(NEWEST_STAYS, |model: &Self, state| !model.broken(state).newest_dropped),
            Property::always(ALL_COLLECTED, |model: &Self, state| !model.broken(state).left),
        ]
    }
}

/// The value that a record shows: itself, or 0 when it is a tombstone or nothing.
fn value(cluster: &Cluster, name: u8) -> u8 {
    if name != 0 && cluster.accepted(name).live { name } else { 0 }
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..NODES).flat_map(|from| (0..NODES).filter(move |to| *to != from).map(move |to| (from, to)))
}
