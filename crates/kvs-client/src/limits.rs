//! The bounds of everything the client reads or keeps, each with its name and its reason.
//!
//! The node's own bounds are in `kvs_core::limits`; these protect the client's memory and time from a foreign or
//! broken server and from an input file that is not what it seems.

use std::time::Duration;

use kvs_core::limits::PAYLOAD_BYTES_MAX;

/// Longest answer to one request, in bytes: the largest value a node may be configured to keep, and room for the
/// members around it.
pub const ANSWER_BYTES_MAX: u64 = PAYLOAD_BYTES_MAX as u64 + 64 * 1024;

/// Longest page of a listing that is read when it holds more than one key, in bytes.
pub const PAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Longest value that `put` reads from a file or from standard input, in bytes.
pub const VALUE_BYTES_MAX: u64 = PAYLOAD_BYTES_MAX as u64;

/// Longest line of an import, in bytes without its end: the largest value, and room for the members around it.
pub const LINE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 64 * 1024;

/// A batch is sent before it would become longer than this many bytes; a single longer operation travels alone, and as
/// a plain `PUT`, because a node reads at most 16 MiB of a batch.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most distinct keys that one import remembers to recognise a repeated key: 16 bytes each and what the hash table
/// needs around them (2^23 buckets of 17 bytes at a load of 7/8), so 136 MiB, and 204 MiB for the moment in which the
/// table doubles. Numbering repeated keys takes as much again at most.
pub const KEYS_REMEMBERED_MAX: usize = (1 << 23) / 8 * 7;

/// Most refused lines that an import keeps for its final report; all are counted, and all go to `--errors FILE`.
pub const REFUSALS_SHOWN_MAX: usize = 20;

/// Longest root token file that is read, in bytes.
pub const TOKEN_FILE_BYTES_MAX: u64 = 16 * 1024;

/// How often one request is sent before an answer 429 or 503 counts as final.
pub const ATTEMPTS_MAX: u32 = 10;

/// Longest pause between two attempts, whatever `Retry-After` asks for.
pub const PAUSE_MAX: Duration = Duration::from_secs(120);

/// First pause when the node names none; doubled at each attempt up to [`PAUSE_UNASKED_MAX`].
pub const PAUSE_FIRST: Duration = Duration::from_millis(200);

/// Longest pause when the node names none.
pub const PAUSE_UNASKED_MAX: Duration = Duration::from_secs(10);

/// How long a connection may take to come up.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one request may take from its first byte to the last of the answer, unless told otherwise.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest text of an answer that is not `application/problem+json` which an error message repeats, in characters.
pub const FOREIGN_TEXT_CHARS_MAX: usize = 200;

/// How many single operations of one batch are taken out one by one because the node refused them, before the rest is
/// searched by halving.
pub const SINGLE_OUTS_MAX: u32 = 8;

/// How many lines of one import the node may refuse before the import stops: an argument must be wrong, not the lines.
pub const NODE_REFUSALS_MAX: u64 = 1000;
