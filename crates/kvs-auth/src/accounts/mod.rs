//! The records of the `auth` namespace: users, groups, issued tokens, and what was revoked.
//!
//! Each kind has a place (see [`place`]) and a JSON object. Times in records are milliseconds since 1970 and named `_at`,
//! as everywhere in the HTTP interface. Records are read strictly: unknown and doubled members are refused.

pub mod error;
pub mod group;
pub mod issued;
pub mod nickname;
pub mod place;
pub mod revocation;
pub mod user;
