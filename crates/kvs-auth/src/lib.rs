//! Who may do what: pure code without I/O, clock or randomness.
//!
//! [`mode`], [`scopes`] and [`subtrees`] are the words of a right, [`caller`] is who asks, [`rights`] what governs a key,
//! and [`decision`] the one place that says yes or no. [`token`] makes and judges tokens, [`accounts`] holds the records of
//! users, groups and revocations, [`directory`] what a node has learnt from them, and [`issue`] says what token
//! a caller may have made.

pub mod accounts;
pub mod caller;
pub mod decision;
pub mod directory;
pub mod issue;
pub mod json;
pub mod limits;
pub mod metadata;
pub mod mode;
pub mod rights;
pub mod scopes;
pub mod subject;
pub mod subtrees;
pub mod token;
