//! Who may do what: pure code without I/O, clock or randomness.
//!
//! [`mode`], [`scopes`] and [`subtrees`] are the words of a right, [`caller`] is who asks, [`rights`] what governs a key,
//! and [`decision`] the one place that says yes or no.

pub mod caller;
pub mod decision;
pub mod metadata;
pub mod mode;
pub mod rights;
pub mod scopes;
pub mod subtrees;
