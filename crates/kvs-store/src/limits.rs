//! The bounds of the store: queues, batches, scans.

use std::time::Duration;

/// Most transactions waiting for the committer; the next one is told to try again.
pub const QUEUE_TRANSACTIONS_MAX: usize = 8192;

/// Most bytes of writes waiting for the committer.
pub const QUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Most transactions in one engine batch.
pub const BATCH_TRANSACTIONS_MAX: usize = 1024;

/// A batch takes no further transaction once it holds this many bytes of writes.
pub const BATCH_BYTES_TARGET: usize = 4 * 1024 * 1024;

/// How often writes are synced with `durability: interval`.
pub const SYNC_INTERVAL: Duration = Duration::from_millis(100);

/// How often expired values are looked for.
pub const REAP_INTERVAL: Duration = Duration::from_millis(500);

/// Most values that one reaping turns into tombstones; the rest waits for the next, at once.
pub const REAP_KEYS_MAX: usize = 512;

/// How often old tombstones are looked for.
pub const COLLECT_INTERVAL: Duration = Duration::from_secs(30);

/// Pause between two rounds of collection that found nothing to collect.
pub const COLLECT_STEP: Duration = Duration::from_millis(50);

/// Most tombstones that one round of collection looks at.
pub const COLLECT_KEYS_MAX: usize = 1024;

/// Most rows that one page of a range looks at, live or not; then it ends early and says where to go on.
pub const SCAN_ROWS_MAX: usize = 20_000;

/// Most bytes of JSON, as sent, on one page of a range; then it ends early and says where to go on. One value alone may
/// be larger.
pub const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// So many revisions stay at least where something is recalled, and while this node's clock differs from its peers'.
pub const REVISIONS_IN_DOUBT: u32 = 16;

/// Most revisions removed with one write when `revision_limit` went down.
pub const REVISIONS_TRIMMED_MAX: u32 = 16;

/// Free bytes that must stay on the disk for flushes and compactions; below it writes are refused as `disk_full`.
pub const DISK_RESERVE_BYTES: u64 = 48 * 1024 * 1024;

/// How long a disk that was short of room is remembered to have been: an engine that closed itself within that time is
/// opened again once there is room.
pub const SHORT_OF_ROOM_KEPT: Duration = Duration::from_secs(60);

/// How often a full or failed disk is looked at again.
pub const RECOVER_INTERVAL: Duration = Duration::from_millis(500);

/// Smallest payload that compression is tried on; below it a zstd frame is seldom smaller.
pub const COMPRESS_BYTES_MIN: usize = 192;

/// Most epochs of which a node remembers numbers that it only heard of. Epochs of nodes whose numbers may be missing are not folded
/// until there is room again.
pub const HEARD_MAX: usize = 4096;

/// Most records that wait because they are stamped too far ahead; a peer that sends more is told to wait.
pub const PARKED_MAX: u64 = 100_000;

/// How often parked records are looked at.
pub const ADMIT_INTERVAL: Duration = Duration::from_secs(1);

/// Most parked records that one look takes in.
pub const ADMIT_KEYS_MAX: usize = 512;

/// Most rows that one look for recalled records reads.
pub const SWEEP_KEYS_MAX: usize = 512;

/// Pause after a look for recalled records that failed.
pub const SWEEP_RETRY: Duration = Duration::from_secs(1);

/// A clock that reads earlier than this (2026-11-01) was not set since the machine started: nothing is judged by it.
pub const CLOCK_EARLIEST_MS: u64 = 1_793_491_200_000;

/// How long a placeholder keeps its history, ms: as long as a member that is away is waited for by default.
pub const PLACEHOLDER_KEPT_MS: u64 = 30 * 24 * 3_600_000;

/// How long no placeholder is taken away after a start, and after the clock was set, whatever the clock says: long enough to be
/// compared with every member.
pub const PLACEHOLDER_PAUSE: Duration = Duration::from_secs(3600);
