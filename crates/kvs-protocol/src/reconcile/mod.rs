//! Anti-entropy: two nodes find out where their records differ and make them equal, whatever the log knows.
//!
//! One node asks ([`session`]), the other answers ([`answer`]) without remembering anything between two requests. They
//! compare fingerprints of ranges of the digest's key space: the asker's pieces, then the answerer's pieces of those that
//! differ, so that each round trip goes down two levels; then ids of single records, then the records themselves. Last
//! come the tombstones that the asker may lack, and then it may claim to have what the answerer had.
//!
//! Left out: what the records rest in ([`holdings::Holdings`] is asked for them), when to hold a session, and with whom.

pub mod answer;
pub mod fingerprint;
pub mod holdings;
pub mod limits;
pub mod outcome;
pub mod reply;
pub mod request;
pub mod session;
#[cfg(test)]
mod testing;
mod wire;
