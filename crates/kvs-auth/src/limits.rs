//! The bounds of accounts and tokens, each with its name and its reason.

/// Longest token in bytes; whatever is longer is refused before anything else is looked at. A token with all its
/// subtrees in use stays below it, and it fits into the head of a request.
pub const TOKEN_BYTES_MAX: usize = 8192;

/// Longest life of a token, in seconds: a leap year.
pub const TOKEN_LIFETIME_MAX_S: u64 = 366 * 24 * 60 * 60;

/// Life of a token when none is asked for, in seconds: a day.
pub const TOKEN_LIFETIME_DEFAULT_S: u64 = 24 * 60 * 60;

/// Longest name of a user or group in bytes.
pub const NICKNAME_BYTES_MAX: usize = 128;

/// Most members of one group.
pub const GROUP_MEMBERS_MAX: usize = 1_000;

/// Most users; a node refuses to make more. What its peers made is always learnt.
pub const USERS_MAX: usize = 100_000;

/// Most groups; a node refuses to make more. What its peers made is always learnt.
pub const GROUPS_MAX: usize = 10_000;

/// Most tokens revoked one by one; a node refuses to revoke more that way, and a user's tokens can still be revoked all
/// at once, which needs no more than one mark. What its peers revoked is always learnt.
pub const REVOCATIONS_MAX: usize = 1_000_000;

/// Longest record of the accounts in bytes: a group with all its members is the longest.
pub const ACCOUNT_BYTES_MAX: usize = 64 * 1024;
