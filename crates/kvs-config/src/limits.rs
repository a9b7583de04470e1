//! Every bound of this crate, in one place.
//!
//! The ranges of the keys themselves stand in the table in [`crate::keys`]; here are the sizes of what is read.

/// Largest configuration file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Most values in one list (`seed_nodes`, `trusted_proxies`).
pub const LIST_VALUES_MAX: usize = 256;

/// Longest path of a file or folder, in bytes.
pub const PATH_BYTES_MAX: usize = 4096;

/// Longest `node_id`, in bytes.
pub const NODE_ID_BYTES_MAX: usize = 255;

/// Shortest and longest `cluster_secret`, in bytes.
pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;

/// Longest cron expression, in bytes.
pub const SCHEDULE_BYTES_MAX: usize = 256;

/// Longest file name of a configuration, in bytes: `kvs_NAME.log` must fit into the 255 of a file system.
pub const NAME_BYTES_MAX: usize = 240;

/// Longest text of a duration, in bytes.
pub const DURATION_BYTES_MAX: usize = 64;

/// Longest duration: 100 years of 365.25 days, in seconds.
pub const DURATION_SECONDS_MAX: u64 = 100 * 31_557_600;

/// Most characters of a wrong value or key that an error repeats.
pub const ECHO_CHARS_MAX: usize = 60;
