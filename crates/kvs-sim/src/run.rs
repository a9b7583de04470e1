//! The course of a run: faults all the time, then none, and what must hold after that.
//!
//! Safety is checked while faults last, by the ledger. Then all links are mended, all machines started, all clocks set
//! right; within two sync rounds all nodes must be equal, and once the grace has passed every tombstone must go.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use kvs_core::item::END;
use kvs_core::namespace::Namespace;
use kvs_core::origin::Origin;
use kvs_core::record::Kind;
use kvs_core::sum_tree::sum::Sum;
use kvs_protocol::membership::contract::Event as MembershipEvent;
use kvs_store::check::view::check_view;
use kvs_store::commit::mark::Mark;
use kvs_store::observer::Key;
use uuid::Uuid;

use crate::disks::Stores;
use crate::held::Held;
use crate::node::Standing;
use crate::profile::Profile;
use crate::step::Step;
use crate::verdict::Order;
use crate::world::{Options, Trace, World};

/// How long membership may take to see everyone again.
const RECOVERY: Duration = Duration::from_secs(20);

/// What is added to two rounds of sessions: the rounds themselves take a while.
const SLACK: Duration = Duration::from_secs(5);

/// Two looks at tombstones, and the floors before.
const COLLECTION: Duration = Duration::from_secs(70);

/// More than the longest jump of a clock: after this what was parked is admitted, ms.
const LEAP_MS: u64 = 2 * 3_600_000;

/// What ends later than this is not waited for: it is taken back, or an operator's affair.
const EARLY_MS_MAX: u64 = 24 * 3_600_000;

/// Tombstones that are told when some are left.
const TOMBSTONES_TOLD_MAX: usize = 5;

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Steps taken.
    pub steps: u64,
    /// Writes acknowledged.
    pub acknowledged: usize,
    /// Tombstones collected.
    pub collected: u64,
    /// Values dropped at a peer's word.
    pub dropped: u64,
    /// Nodes at the end.
    pub nodes: usize,
    /// Its profile.
    pub profile: Profile,
    /// Directories put back.
    pub put_backs: u64,
    /// Clocks set wrong.
    pub clocks_turned: u64,
    /// Members forgotten.
    pub forgotten: u64,
    /// Clients that waited and were told how many others have their write.
    pub told: usize,
    /// Parts of logs that came by way of others than their origin, or were passed on.
    pub relayed: u64,
}

/// Runs a seed.
///
/// # Errors
///
/// The promise that was broken, and when.
pub fn run(seed: u64, options: Options, trace: Option<Trace>) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| run_unguarded(seed, options, trace))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("without a word");
        Err(format!("a panic: {text}"))
    })
}

fn run_unguarded(seed: u64, options: Options, trace: Option<Trace>) -> Result<Outcome, String> {
    let mut world = World::begin(seed, options, trace)?;
    let verdict = live(&mut world);
    if let Err(broken) = verdict {
        world.tell(|| format!("BROKEN: {broken}"));
        return Err(format!("after {:.3} s: {broken}", world.now().as_secs_f64()));
    }
    Ok(Outcome {
        steps: world.steps,
        acknowledged: world.ledger.writes.count(),
        collected: world.ledger.collected,
        dropped: world.ledger.dropped,
        nodes: world.members().count(),
        profile: world.profile,
        put_backs: world.put_backs,
        clocks_turned: world.clocks_turned,
        forgotten: world.forgotten,
        told: world.waits.told_count(),
        relayed: world.relays.made,
    })
}

fn live(world: &mut World) -> Result<(), String> {
    let duration = world.weather.duration;
    world.run_until(duration)?;
    heal(world)?;
    let rounds = world.weather.sync_interval * 2;
    world.run_until(world.now() + RECOVERY + rounds + SLACK)?;
    check_end(world)?;
    let grace_ms = world.weather.grace_ms;
    world.tell(|| "the grace passes".into());
    world.clock.leap(grace_ms + 5_000);
    // What came of a life that a put-back ended is told in sessions alone: each node needs one with every other.
    let needs_sessions = world.profile.puts_back();
    let members = u32::try_from(world.members().count()).unwrap_or(u32::MAX);
    let sessions = if needs_sessions { world.weather.sync_interval * 2 * members } else { Duration::ZERO };
    world.run_until(world.now() + COLLECTION + sessions)?;
    check_end(world)?;
    let end_ms = last_early_end_ms(world);
    if end_ms > 0 {
        world.tell(|| "what expired before its time comes due".into());
        world.clock.leap(end_ms.saturating_sub(world.clock.wall_ms()) + grace_ms + 5_000);
        world.run_until(world.now() + COLLECTION + world.weather.sync_interval * 2 * members)?;
        check_end(world)?;
    }
    check_collected(world)
}

/// When the last of the values ends that a clock ahead has turned into tombstones before their time, ms since 1970; 0 without one.
/// Whoever has not got such a tombstone lets it wait until then, and claims nothing of what others have meanwhile.
fn last_early_end_ms(world: &World) -> u64 {
    let now_ms = world.clock.wall_ms();
    let held = world.members().flat_map(|place| world.ledger.tombstones(place));
    let ends = held.filter(|(_, held)| held.kind == Kind::Expired).map(|(_, held)| held.expires_at_ms);
    ends.filter(|end_ms| (now_ms..now_ms + EARLY_MS_MAX).contains(end_ms)).max().unwrap_or(0)
}

/// Every tombstone is gone.
///
/// Excused where lives are lost (members are forgotten, directories put back, the machine that wrote it is gone and its old copy
/// went on as another node): a tombstone that nobody's vector covers. It came in another way than by its life's log, and with
/// that life went everybody who could say what came before it.
fn check_collected(world: &World) -> Result<(), String> {
    let vectors: Vec<_> =
        world.running().filter_map(|place| world.store(place)).map(|store| store.vector()).collect();
    let loses_lives = (world.profile.forgets() || world.profile.puts_back()) && !world.options.is_strict;
    let living: Vec<_> = world.members().filter_map(|place| world.node(place)?.uuid).collect();
    let is_excused = |key: &Key, held: &Held| {
        // What revokes is never recalled: it goes when its time comes.
        let is_ahead = key.namespace == Namespace::Auth && world.ledger.is_ahead(&held.version);
        let is_gone = |held: &Held| !world.options.is_strict && !living.contains(&held.dot.origin.node);
        is_ahead || ((loses_lives || is_gone(held)) && !vectors.iter().any(|vector| vector.covers(&held.dot)))
    };
    let left: Vec<_> = world
        .members()
        .flat_map(|place| world.ledger.tombstones(place).map(move |(key, held)| (place, key, held)))
        .filter(|(_, key, held)| !is_excused(key, held))
        .take(TOMBSTONES_TOLD_MAX)
        .collect();
    let Some((_, _, first)) = left.first() else { return Ok(()) };
    let lacks = world
        .running()
        .filter(|place| world.store(*place).is_some_and(|store| !store.vector_held().covers(&first.dot)));
    let lacks: Vec<_> = lacks.collect();
    Err(format!("tombstones are left in the end: {left:?}; the first is not covered by {lacks:?}"))
}

/// No more faults: links, clocks, disks and processes are as they should be.
fn heal(world: &mut World) -> Result<(), String> {
    world.tell(|| "faults are over".into());
    world.network.calm();
    world.set_clocks_right();
    // Where a clock was ahead by more than any leap, what it stamped must have been taken back instead.
    if world.clocks_jumped && !world.profile.has_wrong_clocks() {
        world.clock.leap(LEAP_MS);
    }
    for place in 0..world.places() {
        let is_running = world.running().any(|running| running == place);
        let Some(node) = world.node_mut(place) else { continue };
        node.disk_delay = Duration::ZERO;
        node.device.set_faults(kvs_store::engine::device::Faults::default());
        if !is_running && matches!(node.standing, Standing::Member | Standing::Away) {
            world.after(Duration::from_millis(10), Step::Start { place });
        }
    }
    world.run_until(world.now() + RECOVERY)?;
    // A machine that nobody hears may leave for good, too (seeds 136 of put-back, 493 of ordinary): what it alone had goes with it.
    world.note_goodbyes();
    // An operator says which machines will not come back: a goodbye may have reached nobody, and a word that a member is
    // forgotten may have gone with the node that heard it.
    let lost = (0..world.places())
        .filter_map(|place| world.node(place))
        .filter(|node| matches!(node.standing, Standing::Gone | Standing::Left))
        .filter_map(|node| node.uuid);
    let lost: Vec<_> = lost.chain(world.past.iter().copied()).collect();
    let first = world.running().next();
    for node in &lost {
        if let Some(place) = first {
            world.drive_membership(place, MembershipEvent::Forget(*node))?;
            world.settle(place)?;
        }
    }
    discard(world, &lost)
}

/// An operator has discarded what waits anywhere of nodes that are gone: nobody else can recall it.
fn discard(world: &mut World, lost: &[Uuid]) -> Result<(), String> {
    let mut origins = BTreeSet::new();
    for store in world.running().filter_map(|place| world.store(place)) {
        let standing = store.standing();
        for node in lost.iter().copied() {
            let epochs = standing.parked_dots.epochs_of(node);
            origins.extend(epochs.map(|(epoch, _)| Origin { node, epoch }));
        }
    }
    let first = world.running().next();
    if let Some(place) = first.filter(|_| !origins.is_empty()) {
        world.tell(|| format!("{origins:?} are discarded at a word to {place}"));
        world.mark(place, Mark::Discard(origins.into_iter().collect()));
        world.settle(place)?;
    }
    Ok(())
}

fn check_end(world: &mut World) -> Result<(), String> {
    world.check_vectors()?;
    let places: Vec<usize> = world.members().collect();
    let order = match (world.clocks_jumped, world.profile.has_wrong_clocks()) {
        (false, _) => Order::Versions,
        (true, false) => Order::Either,
        (true, true) => Order::Time,
    };
    let is_lenient = !world.options.is_strict;
    world.ledger.check_end(&places, order, world.clock.wall_ms(), &Stores(&world.nodes), is_lenient)?;
    let mut first: Option<(usize, Sum)> = None;
    for place in places {
        let store = world.store(place).ok_or_else(|| format!("{place} does not run in the end"))?;
        let view = store.view().map_err(|error| error.to_string())?;
        let report = check_view(&view, &mut |_| {});
        if !report.is_healthy() {
            return Err(format!("the tables of {place}: {:?}", report.problems));
        }
        let sums = store.digest().sums(&[Vec::new(), END.to_vec()]).map_err(|error| error.to_string())?;
        let sum = sums.first().copied().unwrap_or_default();
        let rebuilt = crate::parked::rebuilt(&store)?;
        if sum != rebuilt {
            return Err(format!("the digest of {place} is {sum:?}, that of its records {rebuilt:?}"));
        }
        let lasting = store.digest().lasting().map_err(|error| error.to_string())?;
        match first {
            Some((other, other_sum)) if other_sum != lasting => {
                return Err(format!("the roots of {other} and {place} differ"));
            }
            _ => first = Some((place, lasting)),
        }
    }
    Ok(())
}
