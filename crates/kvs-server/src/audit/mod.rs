//! The audit trail of a node: what of its doings is written down, and how peers vouch for it.

pub(crate) mod exchange;
pub(crate) mod late_trail;
pub(crate) mod recorder;
