//! Who may do what: pure code without I/O, clock or randomness.
//!
//! [`mode`], [`scopes`] and [`subtrees`] are the words of a right, [`caller`] is who asks.

pub mod caller;
pub mod mode;
pub mod scopes;
pub mod subtrees;
