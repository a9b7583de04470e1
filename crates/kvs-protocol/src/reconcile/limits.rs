//! The bounds of a session.

/// Into how many pieces a range is cut.
pub const FAN_OUT: usize = 20;

/// A range with at most this many records is listed by ids instead of being cut.
pub const LISTED_MAX: u64 = 32;

/// Neighbouring small ranges are listed as one up to this many records.
pub const LISTED_TOGETHER_MAX: u64 = 512;

/// Most pieces that one request compares.
pub const ASKED_PIECES_MAX: usize = 512;

/// Most pieces in one reply: each piece asked for, cut once.
pub const REPLY_PIECES_MAX: usize = ASKED_PIECES_MAX * FAN_OUT;

/// Most ids in one message.
pub const IDS_MAX: usize = 16_384;

/// Most ranges listed in one request.
pub const RANGES_MAX: usize = 1024;

/// Most records of a range that the answerer looks at for one listing; the rest is asked for again.
pub const LOOKED_AT_MAX: usize = 4096;

/// No further record is added to a message that holds this many bytes of them; one alone may be larger.
pub const RECORD_BYTES_TARGET: usize = 1024 * 1024;

/// Most records in one message.
pub const RECORDS_MAX: usize = 4096;

/// Most tombstones in one reply.
pub const TOMBSTONES_MAX: usize = 1024;

/// Most changed records in one reply.
pub const CHANGES_MAX: usize = 1024;

/// Most versions that one request asks to be dropped.
pub const DROPS_MAX: usize = 4096;

/// Longest bound of a range, in bytes.
pub const BOUND_BYTES_MAX: usize = 2048;

/// A session that takes more round trips ends as it is; the next one goes on.
pub const ROUNDS_MAX: u32 = 65_536;
