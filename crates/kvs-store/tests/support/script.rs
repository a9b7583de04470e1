//! Scripts: what happens to a store, step by step, drawn at random or written down, run against the model.

use std::sync::Arc;

use kvs_store::engine::device::{Device, Faults, Torn};
use kvs_store::error::StoreError;
use kvs_store::settings::Settings;
use kvs_store::shared::State;
use kvs_store::store::Store;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use super::audit::audit;
use super::model::{Condition, Foreign, Model, Op};
use super::{GRACE_MS, ManualClock, START_MS, do_chores, open, settle};

/// Keys of random scripts: few, so that they meet; with a folder, a prefix of another, and text beyond ASCII.
pub(crate) const KEYS: [&str; 6] = ["a", "a/b", "a/b/c", "ab", "b/\u{e9}", "c"];

/// How many foreign records there are to draw from.
pub(crate) const FOREIGN_COUNT: usize = 30;

/// A condition, before it is known which version is current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Absent,
    Present,
    Current,
    Stale,
}

/// A write of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Draft {
    Put {
        key: usize,
        json: u8,
        lifetime_ms: Option<u64>,
        when: When,
    },
    Delete {
        key: usize,
        when: When,
    },
    /// The foreign record with this number.
    Merge(usize),
}

/// A step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Transact(Vec<Draft>),
    /// The wall clock goes on; no chore comes due by it.
    Wall(u64),
    /// The wall clock goes back to where it started.
    WallBack,
    /// Expiry and collection come due.
    Chores,
    /// The store is closed and opened again.
    Reopen,
}

/// The foreign record with this number: stamps that tie with local ones and with each other, tombstones, expiries.
pub(crate) fn foreign(number: usize) -> Foreign {
    let of = number as u64;
    Foreign {
        key: KEYS[number % KEYS.len()].into(),
        stamp: (START_MS + 400 * (of % 4), u16::try_from(of % 2).unwrap()),
        joined_ms: if of % 5 < 3 { START_MS - 5 } else { START_MS + 5 },
        uuid: 1000 - u128::from(of % 7) * 100 + u128::from(of),
        json: (of % 4 != 1).then(|| format!("[\"foreign\",{number}]")),
        expires_at_ms: if of % 4 == 3 { START_MS + 1200 } else { 0 },
        dot: (0xf0 + u128::from(of % 2), of / 2 + 1),
    }
}

/// A random script of this many steps.
pub(crate) fn script(steps: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), steps)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => proptest::collection::vec(draft(), 1..5).prop_map(Step::Transact),
        4 => prop_oneof![Just(1), Just(400), Just(1200), Just(GRACE_MS + 1)].prop_map(Step::Wall),
        1 => Just(Step::WallBack),
        3 => Just(Step::Chores),
        1 => Just(Step::Reopen),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let key = || 0..KEYS.len();
    let when = || {
        prop_oneof![
            6 => Just(When::Always),
            1 => Just(When::Absent),
            1 => Just(When::Present),
            2 => Just(When::Current),
            1 => Just(When::Stale),
        ]
    };
    let lifetime = prop_oneof![3 => Just(None), 1 => Just(Some(300)), 1 => Just(Some(1200))];
    prop_oneof![
        5 => (key(), any::<u8>(), lifetime, when())
            .prop_map(|(key, json, lifetime_ms, when)| Draft::Put { key, json, lifetime_ms, when }),
        3 => (key(), when()).prop_map(|(key, when)| Draft::Delete { key, when }),
        4 => (0..FOREIGN_COUNT).prop_map(Draft::Merge),
    ]
}

/// A store that follows a script beside its model.
pub(crate) struct Stage {
    pub(crate) device: Device,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) model: Model,
    /// What the model could be instead, while a refused step may or may not have happened.
    pub(crate) possible: Vec<Model>,
    pub(crate) wall_ms: u64,
    openings: u64,
}

impl Stage {
    /// A new store on this device, which may have faults.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub(crate) fn begin(device: Device, settings: Settings) -> Result<Self, StoreError> {
        let clock = ManualClock::new();
        let store = open(&device, &clock, settings, 1)?;
        settle(&store);
        let limit = settings.revision_limit as usize;
        Ok(Self {
            device,
            clock,
            settings,
            store,
            model: Model::new(limit, START_MS),
            possible: Vec::new(),
            wall_ms: START_MS,
            openings: 1,
        })
    }

    /// Takes the step in the store and in the model.
    ///
    /// # Errors
    ///
    /// The store refuses writes; `model` is what was acknowledged, `possible` what else may be there after a crash.
    pub(crate) fn take(&mut self, step: &Step) -> Result<(), StoreError> {
        match step {
            Step::Transact(drafts) => self.transact(drafts),
            Step::Wall(ms) => {
                self.set_wall(self.wall_ms + ms);
                Ok(())
            }
            Step::WallBack => {
                self.set_wall(START_MS);
                Ok(())
            }
            Step::Chores => self.do_chores(),
            Step::Reopen => self.reopen(),
        }
    }

    fn set_wall(&mut self, now_ms: u64) {
        self.wall_ms = now_ms;
        self.clock.set_wall(now_ms);
    }

    fn transact(&mut self, drafts: &[Draft]) -> Result<(), StoreError> {
        let ops: Vec<_> = drafts.iter().map(|draft| self.op(draft)).collect();
        let mut next = self.model.clone();
        let expected = next.transact(self.wall_ms, &ops);
        let answer = self.store.commit(ops.iter().map(Op::write).collect::<Vec<_>>());
        if let Err(error @ (StoreError::Poisoned(_) | StoreError::Full)) = answer {
            self.possible = vec![next];
            return Err(error);
        }
        next.compare_answer(&expected, &answer);
        self.model = next;
        Ok(())
    }

    fn op(&self, draft: &Draft) -> Op {
        let condition = |key: &str, when: When| match when {
            When::Always => Condition::None,
            When::Absent => Condition::Absent,
            When::Present => Condition::Present,
            When::Current => self.model.live_uuid(key, self.wall_ms).map_or(Condition::Absent, Condition::Is),
            When::Stale => Condition::Is(self.model.stale_uuid(key)),
        };
        match draft {
            Draft::Put { key, json, lifetime_ms, when } => Op::Put {
                key: KEYS[*key].into(),
                json: format!("{{\"n\":{json}}}"),
                lifetime_ms: *lifetime_ms,
                condition: condition(KEYS[*key], *when),
            },
            Draft::Delete { key, when } => {
                Op::Delete { key: KEYS[*key].into(), condition: condition(KEYS[*key], *when) }
            }
            Draft::Merge(number) => Op::Merge(foreign(*number)),
        }
    }

    fn do_chores(&mut self) -> Result<(), StoreError> {
        do_chores(&self.store, &self.clock);
        self.follow_chores()
    }

    /// Takes into the model, and into all that it could be, what the chores have just done, or begun to do.
    fn follow_chores(&mut self) -> Result<(), StoreError> {
        let refused = match self.store.state() {
            State::Open => None,
            State::Full => Some(StoreError::Full),
            State::Poisoned(reason) => Some(StoreError::Poisoned(reason)),
        };
        let mut all = Vec::new();
        for before in std::mem::take(&mut self.possible).into_iter().chain([self.model.clone()]).rev() {
            let mut expired = before.clone();
            expired.expire(self.wall_ms);
            let mut collected = expired.clone();
            collected.collect(self.wall_ms, GRACE_MS);
            match refused {
                None => all.push(collected),
                Some(_) => all.extend([before, expired, collected]),
            }
        }
        self.model = all.remove(0);
        self.possible = all;
        refused.map_or(Ok(()), Err)
    }

    /// Closes the store and opens it again, which does the chores that are due.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or its first chores fail.
    pub(crate) fn reopen(&mut self) -> Result<(), StoreError> {
        self.store.close();
        self.openings += 1;
        self.store = open(&self.device, &self.clock, self.settings, self.openings)?;
        settle(&self.store);
        self.follow_chores()
    }

    /// The process dies without an orderly end, then the power goes.
    pub(crate) fn abandon_after_crash(&self, torn: Torn) {
        // So that the end of the store, which a dead process has not, leaves no trace.
        let faults = Faults { sync_fails_from: Some(0), capacity_bytes: Some(0), ..Faults::default() };
        self.device.set_faults(faults);
        self.store.close();
        self.device.crash(torn);
    }

    /// Audits a store that refuses writes: it shows what was acknowledged, and of a refused step nothing but what its
    /// first commits made durable.
    pub(crate) fn check_visible(&mut self) {
        let possible = self.possible.clone();
        if possible.len() == 1 {
            self.possible.clear();
        }
        self.check();
        self.possible = possible;
    }

    /// Audits the store and settles which of the possible states it is in; panics when it is in none. Whether it is the
    /// acknowledged one.
    pub(crate) fn check(&mut self) -> bool {
        let audit = audit(&self.store);
        let Some(difference) = self.model.difference(&self.store, &audit) else {
            self.possible.clear();
            return true;
        };
        let possible = std::mem::take(&mut self.possible);
        let Some(found) = possible.into_iter().find(|model| model.difference(&self.store, &audit).is_none())
        else {
            unreachable!("the store is in no state that it could be in: {difference}");
        };
        self.model = found;
        self.model.learn(&self.store);
        false
    }
}
