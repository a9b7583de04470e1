//! Trust between nodes: who may speak, to whom, once.
//!
//! Every call carries a [`credential`] that only a holder of the cluster's secret can make, bound to this very request,
//! to the receiving process and to the next number of the sending one; every reply carries a seal bound to its request.
//! [`sender`] makes credentials and checks seals, [`receiver`] the other way round. A first request without credential is
//! answered with a [`challenge`], which says to what a credential must be bound and proves nothing.
//!
//! Clocks are not trusted: what makes a repeated message stale is the receiver's nonce, new in each process, and the
//! [`window`] over the sender's numbers.
//!
//! Left out: the bytes on the socket, where the secret comes from, and what an authenticated node may ask for.

pub mod challenge;
pub mod credential;
pub mod denial;
pub mod keyring;
pub mod mac;
pub mod receiver;
pub mod sender;
mod text;
pub mod window;
