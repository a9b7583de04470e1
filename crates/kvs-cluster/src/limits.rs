//! The bounds of replication, repair and bootstrap.

use std::time::Duration;

use kvs_store::read::log::PieceLimits;

/// One message of the log.
pub const PIECE: PieceLimits = PieceLimits { records: 1000, bytes: 1024 * 1024 };

/// One page of a bootstrap.
pub const PAGE: PieceLimits = PieceLimits { records: 1500, bytes: 1024 * 1024 };

/// How long one pass over the log may hold its view; a longer one goes on with a new view, and claims nothing until then.
pub const PASS_TIME_MAX: Duration = Duration::from_secs(2);

/// Pieces of the log with nothing to send that are skipped in one go.
pub const EMPTY_PIECES_MAX: usize = 8;

/// Places of readers for which the bytes of the last part are kept.
pub const PLACES_MAX: usize = 4;

/// After this time a call of the log is given up and made again.
pub const REPLICATE_TIMEOUT: Duration = Duration::from_secs(10);

/// After this time a question for a peer's standing is given up.
pub const STATUS_TIMEOUT: Duration = Duration::from_secs(3);

/// After this time a page or a round of a session is given up.
pub const REPAIR_TIMEOUT: Duration = Duration::from_secs(20);

/// How often a peer is asked for its standing, at the least; with many peers they take turns of a second.
pub const STATUS_INTERVAL: Duration = Duration::from_secs(2);

/// How often a peer is asked that still fetches everything.
pub const SYNCING_STATUS_INTERVAL: Duration = Duration::from_millis(100);

/// How soon a peer with another root is asked again.
pub const UNEQUAL_STATUS_INTERVAL: Duration = Duration::from_millis(400);

/// The turn of one peer among many.
pub const STATUS_TURN: Duration = Duration::from_secs(1);

/// The first pause after a call that failed; doubled with each further one up to [`RETRY_PAUSE_MAX`].
pub const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause after calls that failed.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Pause after a session that could not resolve everything; doubled up to [`SESSION_PAUSE_MAX`] while that stays so.
pub const SESSION_PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
pub const SESSION_PAUSE_MAX: Duration = Duration::from_secs(60);

/// How long roots may differ while the log still moves before a session is held all the same is `catchup_interval`; while
/// it does not move, this long.
pub const UNEQUAL_PATIENCE: Duration = Duration::from_millis(500);

/// How often the collection floor is computed.
pub const FLOOR_INTERVAL: Duration = Duration::from_secs(1);

/// Writers that wait for their write to reach peers.
pub const WAITING_MAX: usize = 16_384;

/// How long a node that has nothing waits for somebody to fetch from before it serves what it has.
pub const ALONE_PATIENCE: Duration = Duration::from_secs(60);

/// How long a bootstrap waits for a peer that is not bootstrapping itself before it takes one that is.
pub const SOURCE_PATIENCE: Duration = Duration::from_secs(1);

/// How often a bootstrap tells the log how far it is.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Pieces of work that the replicator wants at once, at the most: one for a session, one for a bootstrap, one for what is to be
/// forgotten, one for each sort of note.
pub const WORK_MAX: usize = 16;

/// Moments of the log that are remembered to tell how late a peer is.
pub const MOMENTS_MAX: usize = 512;

/// Tombstones that are looked at to tell which member keeps them.
pub const TOMBSTONES_LOOKED_AT_MAX: usize = 20_000;

/// How often ended epochs are folded away that every member has.
pub const FOLD_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is noted which own writes some peer has.
pub const ACKNOWLEDGED_INTERVAL: Duration = Duration::from_secs(5);

/// How long a node that was just started, or whose clock was just set, waits for a peer to say whether its clock is right
/// before it judges ages by it all the same.
pub const UNHEARD_PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two recalls of one node.
pub const RECALL_PAUSE: Duration = Duration::from_secs(2);

/// Epochs that ended when the clock was set and of which it is not known yet how far ahead it was; the oldest is forgotten.
pub const UNSOLVED_MAX: usize = 64;

/// A node with more peers than this has parts of its log passed on.
pub const RELAY_ABOVE: usize = 64;

/// How long a node that passes a part of a log on may wait for those that it passes it to, at most; who is called by it waits
/// half as long for others, and so on.
pub const RELAY_PATIENCE: Duration = Duration::from_secs(2);

/// How long the peers of one round of a tree are waited for before the others are sent what there is.
pub const ROUND_PATIENCE: Duration = Duration::from_millis(250);

/// For how long a peer is sent the log directly that was not reached by way of others; doubled each time up to
/// [`RELAY_PAUSE_MAX`].
pub const RELAY_PAUSE: Duration = Duration::from_secs(5);

/// The longest such time.
pub const RELAY_PAUSE_MAX: Duration = Duration::from_secs(300);

/// To how many nodes one node passes a part of a log; each passes it on to its share of the others.
pub const RELAY_FAN_OUT: usize = 16;

/// Parts of logs that one node passes on at once; one more it takes for itself alone, and its origin sends it to the others itself.
pub const RELAYS_MAX: usize = 64;
