//! What a run is like: how many nodes, which faults, how often. Drawn from the seed.

use std::ops::Range;
use std::time::Duration;

use kvs_cluster::settings::Tree;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::profile::Profile;

/// How far a peer's stamp may be ahead, in milliseconds.
pub const CLOCK_SKEW_MS_MAX: u64 = 4_000;

/// The longest jump of a clock, in milliseconds.
pub const JUMP_MS_MAX: u64 = 3_600_000;

/// Most nodes of a run, restored and joined ones included.
pub const PLACES_MAX: usize = 10;

/// What a run is like.
#[derive(Debug, Clone)]
pub struct Weather {
    /// Nodes that start together.
    pub nodes: usize,
    /// Keys that clients use.
    pub keys: usize,
    /// How long faults last.
    pub duration: Duration,
    /// The pause between two requests of clients.
    pub client_pause_ms: Range<u64>,
    /// The pause between two faults.
    pub fault_pause_ms: Range<u64>,
    /// How long a message is on its way.
    pub delay_ms: Range<u64>,
    /// How many of a thousand messages take up to [`Weather::long_delay_ms`].
    pub delayed_of_1000: u32,
    /// The longest time of a message on its way.
    pub long_delay_ms: u64,
    /// How many of a thousand messages are lost.
    pub lost_of_1000: u32,
    /// How many of a thousand requests arrive twice.
    pub doubled_of_1000: u32,
    /// How wrong wall clocks are, either way, in milliseconds; within the bound of the configuration.
    pub clock_error_ms: i64,
    /// Whether wall clocks jump by up to an hour.
    pub clocks_jump: bool,
    /// Whether directories are restored from old copies.
    pub restores: bool,
    /// Whether nodes leave and new ones join.
    pub comes_and_goes: bool,
    /// Whether disks fill up.
    pub disks_fill: bool,
    /// How long tombstones stay at least.
    pub grace_ms: u64,
    /// A session with some peer at least this often.
    pub sync_interval: Duration,
    /// How far a peer's stamp may be ahead, in milliseconds.
    pub clock_skew_ms_max: u64,
    /// Revisions kept per key besides the current one.
    pub revision_limit: u32,
    /// When logs travel by a tree; with the ordinary one they never do among so few nodes.
    pub tree: Tree,
}

impl Weather {
    /// Draws the weather of a run.
    pub fn draw(random: &mut StdRng) -> Self {
        let is_rough = random.random_bool(0.5);
        let clocks_jump = random.random_bool(0.2);
        // The grace exceeds twice the greatest error of a clock, as the configuration demands.
        let grace_ms = if clocks_jump { 3 * JUMP_MS_MAX } else { random.random_range(12_000..=30_000) };
        Self {
            nodes: random.random_range(3..=7_usize).min(random.random_range(3..=7)),
            keys: random.random_range(3..=24),
            duration: Duration::from_secs(random.random_range(60..=150)),
            client_pause_ms: 1..random.random_range(100..=900),
            fault_pause_ms: 100..random.random_range(1_500..=9_000),
            delay_ms: 1..random.random_range(3..=60),
            delayed_of_1000: if is_rough { random.random_range(0..=60) } else { 0 },
            long_delay_ms: random.random_range(200..=5_000),
            lost_of_1000: if is_rough { random.random_range(0..=100) } else { 0 },
            doubled_of_1000: if is_rough { random.random_range(0..=60) } else { 0 },
            clock_error_ms: random.random_range(0..=1_500),
            clocks_jump,
            restores: random.random_bool(0.25),
            comes_and_goes: random.random_bool(0.4),
            disks_fill: random.random_bool(0.3),
            grace_ms,
            sync_interval: Duration::from_secs(random.random_range(5..=15)),
            clock_skew_ms_max: CLOCK_SKEW_MS_MAX,
            revision_limit: 3,
            tree: Tree::ORDINARY,
        }
    }

    /// In a third of the runs logs travel by a tree, narrow and deep enough to have inner nodes among so few.
    pub fn grow_tree(&mut self, trees: &mut StdRng) {
        if trees.random_ratio(1, 3) {
            self.tree = Tree { above: trees.random_range(1..=4), fan_out: trees.random_range(1..=3) };
        }
    }

    /// Makes the weather suit a profile.
    pub fn suit(&mut self, profile: Profile, fates: &mut StdRng) {
        if profile == Profile::Ordinary {
            return;
        }
        // Clocks are wrong as the profile says, and by any time: a grace that exceeded twice their error could not be.
        // No node takes deletes for old by a clock that its peers call wrong.
        self.clocks_jump = false;
        self.grace_ms = fates.random_range(20_000..=40_000);
        if matches!(profile, Profile::Clocks | Profile::Bootstrap) {
            // What a machine wrote by a clock ahead and took along nobody can take back.
            self.restores = false;
            self.comes_and_goes = false;
        }
    }

    /// The weather of a story: nothing goes wrong but what its teller does, clocks may be wrong by two seconds.
    #[must_use]
    pub const fn fair(nodes: usize) -> Self {
        Self {
            nodes,
            keys: 0,
            duration: Duration::ZERO,
            client_pause_ms: 1..2,
            fault_pause_ms: 1..2,
            delay_ms: 1..3,
            delayed_of_1000: 0,
            long_delay_ms: 3,
            lost_of_1000: 0,
            doubled_of_1000: 0,
            clock_error_ms: 0,
            clocks_jump: false,
            restores: false,
            comes_and_goes: false,
            disks_fill: false,
            grace_ms: 24 * 3_600_000,
            sync_interval: Duration::from_secs(5),
            clock_skew_ms_max: 2_000,
            revision_limit: 10,
            tree: Tree::ORDINARY,
        }
    }
}
