//! Every bound of the audit trail, in one place.

/// Longest principal's name, in bytes of UTF-8.
pub const WHO_BYTES_MAX: usize = 255;

/// Longest key, in bytes of UTF-8: no key of the store is longer.
pub const PATH_BYTES_MAX: usize = 1024;

/// Longest name of what an event about no key is about, in bytes of UTF-8.
pub const SUBJECT_BYTES_MAX: usize = 255;

/// Longest reason of a refusal or failure, in bytes of UTF-8.
pub const REASON_BYTES_MAX: usize = 255;

/// Longest request id, in bytes of UTF-8.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Longest further explanation, in bytes of UTF-8.
pub const DETAIL_BYTES_MAX: usize = 1024;

/// Longest line of a segment with its line break, in bytes. A written line is shorter: all texts together are below
/// 3 KiB, and JSON writes a byte as six at worst.
pub const LINE_BYTES_MAX: usize = 32 * 1024;

/// Longest line of a file of checkpoints, and longest checkpoint that a peer may send, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 1024;

/// Size at which the next segment is begun, in bytes.
pub const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Size of all segments above which the oldest are removed, in bytes.
pub const TRAIL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Greatest number in a segment's name: numbers up to here are exact in every reader of JSON, and no trail gets there.
pub const FIRST_SEQ_MAX: u64 = (1 << 53) - 1;

/// Most segments that are looked at in one folder.
pub const SEGMENTS_MAX: usize = 100_000;

/// Most entries of each kind per second about what strangers do; beyond it only their number is noted.
pub const PUBLIC_EVENTS_PER_SECOND_MAX: u32 = 20;

/// Time from one checkpoint to the next, in milliseconds.
pub const CHECKPOINT_INTERVAL_MS: u64 = 5_000;

/// Most checkpoints of one node in one file; with one more, every second one between first and last is dropped.
pub const CHECKPOINTS_KEPT_MAX: usize = 1024;

/// Longest file of checkpoints that is read, in bytes.
pub const CHECKPOINT_FILE_BYTES_MAX: u64 = 2 * (CHECKPOINTS_KEPT_MAX * CHECKPOINT_BYTES_MAX) as u64;

/// Most nodes whose checkpoints are kept.
pub const PEERS_MAX: usize = 1024;

/// Most keys that one node may show one after the other; checkpoints signed with a further one are refused.
pub const KEYS_PER_PEER_MAX: usize = 4;

/// Most bytes of the buffer for lines that is kept from one call to the next.
pub(crate) const BUFFER_BYTES_KEPT_MAX: usize = 1024 * 1024;
