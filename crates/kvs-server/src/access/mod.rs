//! Who is asking, and the one way from there to what is stored.
//!
//! [`guard`] finds out who asks, [`vault`] stands in front of the store and asks the decision of `kvs-auth` before it gives
//! anything out or takes anything in. Handlers hold a vault, never a store.

pub(crate) mod carried;
pub(crate) mod follower;
pub(crate) mod guard;
pub(crate) mod identity;
pub(crate) mod lookup;
pub(crate) mod presence;
pub(crate) mod rights_pool;
pub(crate) mod root;
#[cfg(test)]
mod spellings;
pub(crate) mod vault;
pub(crate) mod visitor;
pub(crate) mod warrant;
