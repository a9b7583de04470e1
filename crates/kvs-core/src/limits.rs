//! The bounds of everything that comes from outside, each with its name and its reason.
//!
//! One list, so that a review sees every bound at once. A bound that only one room needs may live in that room.

/// Longest path, in bytes of decoded UTF-8, without the optional leading slash.
pub const PATH_BYTES_MAX: usize = 1024;

/// Most segments in a path.
pub const PATH_SEGMENTS_MAX: usize = 64;

/// Deepest nesting of a JSON value; deeper ones break recursive readers elsewhere.
pub const JSON_DEPTH_MAX: usize = 128;

/// Largest `max_json_size` that a configuration may ask for, and so the largest payload of a record, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest name of a principal (author or owner) in bytes; its length is one byte in the record.
pub const PRINCIPAL_BYTES_MAX: usize = 255;

/// Most operations in one batch request: one transaction, one place in the committer's queue.
pub const BATCH_OPS_MAX: usize = 1000;

/// Most paths in one multi-key read.
pub const READ_MANY_PATHS_MAX: usize = 1000;

/// Most keys of one page of a range.
pub const RANGE_LIMIT_MAX: usize = 1000;

/// Most entity tags in one `If-Match` or `If-None-Match`.
pub const ENTITY_TAGS_MAX: usize = 16;
