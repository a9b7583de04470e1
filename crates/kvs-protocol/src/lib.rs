//! What nodes say to each other, as pure state machines: events and the time go in, effects come out.
//!
//! No socket, no disk, no clock, no randomness of its own: the server and the simulator drive the same code.
//!
//! Left out: what is kept of a conversation (`kvs-store`), and what ties the two together (`kvs-cluster`).

pub mod call;
pub mod membership;
pub mod mode;
pub mod peer_auth;
pub mod reconcile;
pub mod wire;
