//! A set of records as sums over ranges of keys, small enough to stay in memory and never out of date.
//!
//! The tree holds no records: blocks of about a hundred know their first key, how many records there are and the sum of
//! their items. A change of a record is a delta of its block. Where single records are needed, to cut a block or to sum a
//! part of one, they are read from their [`source::Source`].
//!
//! Left out: what an item is ([`crate::item`]), and where records and checkpoints rest.

mod block;
pub mod codec;
pub mod cut;
pub mod source;
pub mod sum;
pub mod tree;
