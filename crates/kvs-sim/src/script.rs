//! Stories: a world in which nothing happens by chance. The teller says what machines, links and clocks do, and what must
//! be seen then; the ledger judges as in any run.

use std::time::Duration;

use bytes::Bytes;
use kvs_cluster::contract::Needed;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_core::precondition::Precondition;
use kvs_core::record::Kind;
use kvs_store::clock::Clock as _;
use kvs_store::commit::asker::Asker;
use kvs_store::commit::write::{Change, Write};
use kvs_store::compression::Content;
use kvs_store::observer::Key;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::disks::Stores;
use crate::held::Held;
use crate::step::{Copied, Step};
use crate::verdict::Order;
use crate::weather::Weather;
use crate::world::{Trace, World};

/// Until machines that start together see each other, and until what was mended is as it was.
const SETTLING: Duration = Duration::from_secs(30);

/// How long a client waits for its copies.
const PATIENCE: Duration = Duration::from_secs(10);

/// One second, in milliseconds.
pub const SECOND_MS: i64 = 1_000;
/// One hour, in milliseconds.
pub const HOUR_MS: i64 = 3_600 * SECOND_MS;
/// One year, in milliseconds.
pub const YEAR_MS: i64 = 365 * 24 * HOUR_MS;

/// A story under way.
pub struct Script {
    /// Where it plays.
    pub world: World,
}

impl Script {
    /// So many machines have started and see each other; links are fast, clocks right, and may be wrong by two seconds.
    ///
    /// # Errors
    ///
    /// The promise that is broken.
    pub fn begin(machines: usize) -> Result<Self, String> {
        Self::begin_traced(machines, None)
    }

    /// The same, told step by step.
    ///
    /// # Errors
    ///
    /// The promise that is broken.
    pub fn begin_traced(machines: usize, trace: Option<Trace>) -> Result<Self, String> {
        let world =
            World::of(Weather::fair(machines), (StdRng::seed_from_u64(1), StdRng::seed_from_u64(2)), trace);
        let mut script = Self { world };
        script.world.after(Duration::from_secs(2), Step::CheckVectors);
        script.settle()?;
        Ok(script)
    }

    /// Time passes.
    ///
    /// # Errors
    ///
    /// The promise that is broken meanwhile.
    pub fn run_for(&mut self, seconds: u64) -> Result<(), String> {
        let end = self.world.now() + Duration::from_secs(seconds);
        self.world.run_until(end)
    }

    /// Enough time passes for everybody to see everybody and to compare what they hold.
    ///
    /// # Errors
    ///
    /// The promise that is broken meanwhile.
    pub fn settle(&mut self) -> Result<(), String> {
        self.run_for(SETTLING.as_secs())
    }

    /// No message passes between a machine and any other.
    pub fn cut_off(&mut self, place: usize) {
        self.world.cut_off(place);
    }

    /// All links are mended.
    pub fn mend(&mut self) {
        self.world.network.mend();
    }

    /// A machine's clock is ahead by so many milliseconds, or behind if negative.
    pub fn set_clock(&mut self, place: usize, ahead_ms: i64) {
        self.world.turn_clock(place, ahead_ms);
    }

    /// A machine's clock says a certain moment, in milliseconds since 1970.
    pub fn set_clock_to(&mut self, place: usize, wall_ms: u64) {
        let right_ms = self.world.clock.wall_ms();
        let ahead_ms = i64::try_from(i128::from(wall_ms) - i128::from(right_ms)).unwrap_or(i64::MAX);
        self.set_clock(place, ahead_ms);
    }

    /// A client puts a value at a machine, which acknowledges it.
    ///
    /// # Errors
    ///
    /// It does not, or a promise is broken by it.
    pub fn put(&mut self, place: usize, path: &str, value: &str) -> Result<Held, String> {
        let content = Content::prepare(Bytes::from(value.to_owned()), None);
        self.write(place, path, Change::Put { content, lifetime: None })
    }

    /// A client deletes a value at a machine, which acknowledges it.
    ///
    /// # Errors
    ///
    /// It does not, or a promise is broken by it.
    pub fn delete(&mut self, place: usize, path: &str) -> Result<Held, String> {
        self.write(place, path, Change::Delete)
    }

    fn write(&mut self, place: usize, path: &str, change: Change) -> Result<Held, String> {
        if !self.world.takes_writes(place) {
            return Err(format!("{place} takes no writes"));
        }
        let store = self.world.store(place).ok_or_else(|| format!("{place} does not run"))?;
        let Key { namespace, path } = key(path)?;
        let write =
            Write { namespace, path, change, precondition: Precondition::default(), asker: Asker::nobody() };
        let verdict = store.commit(vec![write.clone()]);
        let made = self.world.note_verdict(place, &[write], &verdict);
        self.world.settle(place)?;
        match made.first() {
            Some((_, held)) => Ok(*held),
            None => Err(format!("{place} did not write: {verdict:?}")),
        }
    }

    /// A client puts a value and waits until all other members have it; then it looks on every disk.
    ///
    /// # Errors
    ///
    /// The wait does not end in time, or what was confirmed is not there.
    pub fn put_on_all(&mut self, place: usize, path: &str, value: &str) -> Result<(), String> {
        let held = self.put(place, path, value)?;
        let others = self.world.members().count() - 1;
        let ticket = self.world.wait(place, &key(path)?, held, Needed::All, PATIENCE)?;
        let end = self.world.now() + PATIENCE + Duration::from_millis(100);
        while self.world.waits.told(ticket).is_none() && self.world.now() < end {
            self.world.run_until(self.world.now() + Duration::from_millis(10))?;
        }
        let told = self.world.waits.told(ticket).map(|told| told.count);
        if told != u32::try_from(others).ok() {
            return Err(format!("{place} says that {told:?} of {others} others have {path}"));
        }
        let members: Vec<usize> = self.world.members().collect();
        self.expect(&members, path, Some(value))
    }

    /// A copy of a machine's directory.
    ///
    /// # Errors
    ///
    /// There is no such machine.
    pub fn copy(&self, place: usize) -> Result<Copied, String> {
        self.world.copy(place).ok_or_else(|| format!("{place} is no machine"))
    }

    /// The machine dies, its directory goes back to the copy, and it starts again.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn put_back(&mut self, copied: &Copied) -> Result<(), String> {
        self.world.put_back(copied);
        self.world.start(copied.place)
    }

    /// A machine's process ends in order.
    pub fn stop(&mut self, place: usize) {
        if let Some(node) = self.world.node_mut(place) {
            node.stop();
        }
    }

    /// A machine's process starts again.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn start(&mut self, place: usize) -> Result<(), String> {
        self.world.start(place)
    }

    /// A new machine joins; answers its number.
    ///
    /// # Errors
    ///
    /// The promise that is broken by it.
    pub fn join(&mut self) -> Result<usize, String> {
        let place = self.world.add_machine();
        self.world.start(place)?;
        Ok(place)
    }

    /// How often a machine's peers refused its process.
    #[must_use]
    pub fn refusals(&self, place: usize) -> u32 {
        self.world.node(place).map_or(0, |node| node.refusals)
    }

    /// What a client reads at a machine.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn value(&self, place: usize, path: &str) -> Result<Option<String>, String> {
        let store = self.world.store(place).ok_or_else(|| format!("{place} does not run"))?;
        let Key { namespace, path } = key(path)?;
        let now_ms = self.world.node(place).map_or(0, |node| node.clock.now_ms());
        let record = store.read(namespace, &path).map_err(|error| error.to_string())?;
        let Some(record) = record.filter(|record| record.is_live(now_ms)) else { return Ok(None) };
        let json = store.json(&record).map_err(|error| error.to_string())?;
        Ok(Some(String::from_utf8_lossy(&json).into_owned()))
    }

    /// The values in a key's history at a machine, its current one included, newest first.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn history(&self, place: usize, path: &str) -> Result<Vec<String>, String> {
        let store = self.world.store(place).ok_or_else(|| format!("{place} does not run"))?;
        let Key { namespace, path } = key(path)?;
        let mut values = Vec::new();
        for revision in store.history(namespace, &path).map_err(|error| error.to_string())? {
            if revision.record.kind == Kind::Value {
                let json = store.json(&revision.record).map_err(|error| error.to_string())?;
                values.push(String::from_utf8_lossy(&json).into_owned());
            }
        }
        Ok(values)
    }

    /// These machines hold this value for a key, or none.
    ///
    /// # Errors
    ///
    /// The first of them that does not.
    pub fn expect(&self, places: &[usize], path: &str, value: Option<&str>) -> Result<(), String> {
        for place in places {
            let found = self.value(*place, path)?;
            if found.as_deref() != value {
                return Err(format!("{path} on {place} is {found:?}, and should be {value:?}"));
            }
        }
        Ok(())
    }

    /// A machine still has this value for a key, as its current one or in its history.
    ///
    /// # Errors
    ///
    /// It has not.
    pub fn expect_kept(&self, place: usize, path: &str, value: &str) -> Result<(), String> {
        let history = self.history(place, path)?;
        if history.iter().any(|kept| kept == value) {
            return Ok(());
        }
        Err(format!("{path} on {place} has lost {value:?}; kept are {history:?}"))
    }

    /// All members hold the same, and of every key what the ledger promises.
    ///
    /// # Errors
    ///
    /// The first promise that is broken.
    pub fn expect_promises(&self) -> Result<(), String> {
        let members: Vec<usize> = self.world.members().collect();
        let order = if self.world.clocks_jumped { Order::Time } else { Order::Versions };
        self.world.ledger.check_end(
            &members,
            order,
            self.world.clock.wall_ms(),
            &Stores(&self.world.nodes),
            false,
        )
    }
}

fn key(path: &str) -> Result<Key, String> {
    let path = Path::parse(path).map_err(|error| error.to_string())?;
    Ok(Key { namespace: Namespace::Data, path })
}
