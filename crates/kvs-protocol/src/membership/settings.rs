//! What a node brings into membership, and the numbers that membership runs by.
//!
//! The timing constants stand here together, so that a review sees how they relate: a probe fails after its timeout
//! and the detour, suspicion lasts several probes, and what is dead or unknown is asked again within seconds.

use std::ops::RangeInclusive;
use std::time::Duration;

use uuid::Uuid;

use crate::mode::Mode;

/// Most members of a list, forgotten ones included; more are not taken from outside.
///
/// Ten thousand with room for those that were replaced; a whole list of it has 1.3 MB with names of usual length, 10 MB with the
/// longest, and numbers of rows fit two bytes.
pub const MEMBERS_MAX: usize = 16 * 1024;

/// Most seeds that are tried, those that were added later included.
pub(crate) const SEEDS_MAX: usize = 256;

/// Longest name or address in a record, in bytes; the length is one byte.
pub const NAME_BYTES_MAX: usize = 255;

/// Largest frame of the failure detector, in bytes.
pub const FRAME_BYTES_MAX: usize = 64 * 1024 - 1;

/// Most frames in one body.
pub const FRAMES_MAX: usize = 64;

/// One member is probed in each of these.
pub(crate) const PROBE_PERIOD: Duration = Duration::from_secs(1);

/// A probe without an answer takes the detour over others after this time.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_millis(400);

/// An exchange of lists ends after this time; the other side may have to ask a third node first.
pub(crate) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(1);

/// Asking whether a node still lives ends after this time.
pub(crate) const VERIFY_TIMEOUT: Duration = Duration::from_millis(400);

/// Suspicion lasts this many times `max(1, log10 n)`.
pub(crate) const SUSPICION_SECONDS: f64 = 3.0;

/// Suspicion in small clusters lasts at least this long: few can vouch for a node there.
pub(crate) const SUSPICION_SMALL: Duration = Duration::from_secs(5);

/// Clusters of fewer nodes are small.
pub(crate) const SMALL_CLUSTER: usize = 8;

/// Suspicion of a node whose address refused connections, to two members.
pub(crate) const SUSPICION_REFUSED: Duration = Duration::from_secs(1);

/// Worst score of this node's own health; suspicion is stretched by one more than the score.
pub(crate) const HEALTH_WORST: u32 = 8;

/// An alarm that goes off later than this says that this process stood still: of the time that a probe waits for its answer
/// too little is left for a round trip over a slow line (150 ms).
pub(crate) const LATE: Duration = Duration::from_millis(250);

/// Between reconnecting to an address that refused and doing so again.
pub(crate) const RECONNECT_PAUSE: Duration = Duration::from_millis(30);

/// What cannot be reached is asked again after this time at first.
pub(crate) const REPROBE_FIRST: Duration = Duration::from_millis(100);

/// What cannot be reached is asked again at least this often, few as they are.
pub(crate) const REPROBE_MAX: Duration = Duration::from_millis(1500);

/// With many of them, each has to wait this long per one of them.
pub(crate) const REPROBE_EACH: Duration = Duration::from_millis(250);

/// In the first moments of a process the pause between attempts does not grow beyond this.
pub(crate) const REPROBE_STARTING: Duration = Duration::from_millis(250);

/// How long a process counts as starting.
pub(crate) const STARTING: Duration = Duration::from_secs(10);

/// Most attempts at unreachable addresses under way at once.
pub(crate) const REPROBES_MAX: usize = 16;

/// Between attempts of a node that waits to be admitted.
pub(crate) const ADMISSION_PAUSE: Duration = Duration::from_millis(150);

/// A node that is itself a seed founds the cluster when no other seed answered for this long.
pub(crate) const FOUNDING_PAUSE: Duration = Duration::from_secs(2);

/// A change of the list is told to somebody within this time.
pub(crate) const RUMOR_PAUSE_MS: std::ops::Range<u64> = 8..25;

/// In a large cluster the pause is longer, by this for each member: something changes there all the time, and what waits goes
/// out together.
pub(crate) const RUMOR_PAUSE_EACH: Duration = Duration::from_micros(25);

/// Most rows that one rumour carries; the answer has one bit for each of them.
pub(crate) const RUMOR_ROWS_MAX: usize = 64;

/// Most rows that wait to be told on; beyond it those that were told most are left to the comparison of lists.
pub(crate) const RUMOR_ROWS_KEPT_MAX: usize = 1024;

/// After this many members that knew a row already, it counts as known to all.
pub(crate) const RUMOR_KNOWN_MAX: u32 = 3;

/// A row is told to at most this many times `log2 n` members, whatever they knew.
pub(crate) const RUMOR_TELLINGS: u32 = 3;

/// Most exchanges under way that tell a change on: one that meets silence must not be followed by hundreds.
pub(crate) const RUMORS_MAX: u32 = 2;

/// Most exchanges under way that a frame asked for, since its sender has another list.
pub(crate) const UNEQUAL_MAX: u32 = 2;

/// The first pause between two of them; doubled while lists stay different, up to [`UNEQUAL_PAUSE_MAX`].
pub(crate) const UNEQUAL_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause between two of them, and in a large cluster, where something changes all the time, [`UNEQUAL_EACH`] for each
/// member.
pub(crate) const UNEQUAL_PAUSE_MAX: Duration = Duration::from_secs(2);

/// See there.
pub(crate) const UNEQUAL_EACH: Duration = Duration::from_millis(10);

/// Lists that were never found to be equal for this long, or for [`UNEQUAL_EACH`] for each member if that is longer, differ in
/// earnest, although rumours are still on their way.
pub(crate) const UNEQUAL_PATIENCE: Duration = Duration::from_secs(3);

/// A changed list is handed out to be kept after this time.
pub(crate) const PERSIST_PAUSE: Duration = Duration::from_millis(100);

/// A large list is handed out less often, after this time for each member.
pub(crate) const PERSIST_PAUSE_EACH: Duration = Duration::from_millis(1);

/// How often members are looked at for having been silent too long.
pub(crate) const AGE_PERIOD: Duration = Duration::from_secs(15);

/// Most calls of this machine under way; more are not made.
pub(crate) const CALLS_MAX: usize = 4096;

/// Unseen this long, a member is shown as failed.
pub const FAILED_AFTER: Duration = Duration::from_secs(5 * 60);

/// Unseen this long, a member is no longer shown to users.
pub const HIDDEN_AFTER: Duration = Duration::from_secs(10 * 60);

/// Nobody is forgotten for his silence before this process has listened this long.
pub(crate) const FORGET_UPTIME_MIN: Duration = Duration::from_secs(10 * 60);

/// What a node brings into membership.
#[derive(Debug, Clone)]
pub struct MembershipSettings {
    /// The identity in the data directory.
    pub node: Uuid,
    /// This start: one more than the last, on disk before the first call.
    pub generation: u32,
    /// The node's name.
    pub node_id: String,
    /// Where others reach it, `host:port`.
    pub address: String,
    /// Addresses to join through, `host:port`; the node's own is recognised.
    pub seeds: Vec<String>,
    /// When this node was admitted, in milliseconds since 1970: as kept on disk; of its own choice for a first node
    /// without seeds; `JOINED_YOUNGEST_MS` for one that has to be admitted.
    pub joined_ms: u64,
    /// The mode to begin with.
    pub mode: Mode,
    /// Pause between two full exchanges, drawn from this range.
    pub gossip_interval: RangeInclusive<Duration>,
    /// A member unseen for this long is forgotten.
    pub forget_after: Duration,
    /// A random number of this process, so that two processes with one identity are told apart.
    pub process_nonce: u64,
    /// The first number for calls; all are this plus a multiple of two.
    pub first_call: u64,
}
