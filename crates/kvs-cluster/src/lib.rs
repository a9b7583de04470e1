//! A node among others: the protocol tied to the store.
//!
//! Blocking, without sockets, runtime or clock: the server drives it with real ones, the simulator with virtual ones.
//! [`replicator::Replicator`] asks, [`serve::serve`] answers; both end in the store's one commit.
//!
//! Left out: rules that need no store (`kvs-protocol`), and how a record is committed (`kvs-store`).

pub mod acknowledgements;
mod backoff;
pub mod bootstrap;
pub mod branches;
mod clock_watch;
pub mod clocks;
mod context;
pub mod contract;
pub mod error;
mod fetching;
pub mod floors;
mod folding;
mod lag;
pub mod limits;
mod lives;
mod outbox;
mod peer;
mod peers;
mod receive;
pub mod relay;
mod repair;
pub mod replicator;
pub mod report;
mod reporting;
pub mod serve;
pub mod settings;
mod shipping;
pub mod store_holdings;
mod streams;
mod timekeeping;
mod trees;
pub mod work;
