//! `cargo xtask bench fleet`: ten to a hundred nodes of the release build on the cores of this machine, with small caches.
//!
//! `worker` runs the parts in their order. `group` starts the nodes and waits for what they know; the parts are `formation`,
//! `quiet` (idle nodes, and nodes beside other work), `killed` and `spread` (writes until they are everywhere, and their CPU).

pub(crate) mod formation;
pub(crate) mod group;
pub(crate) mod killed;
pub(crate) mod options;
pub(crate) mod quiet;
pub(crate) mod spread;
pub(crate) mod worker;
