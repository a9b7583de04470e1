//! `cargo xtask bench cluster`: three nodes of the release build on loopback, measured as their clients and peers see them.
//!
//! `worker` runs the parts that `options` asks for. `group` starts, kills and waits for nodes, `talk` asks them over one
//! connection, `paced` asks them at a fixed rate. The parts are `formation`, `lag`, `outage`, `joining`, `writes`, `idle`
//! and `simulated` (figures that example programs of the crates print). What comes out goes through `finding` to the
//! terminal and, as a section of its own, to the document.

pub(crate) mod finding;
pub(crate) mod formation;
pub(crate) mod group;
pub(crate) mod idle;
pub(crate) mod joining;
pub(crate) mod lag;
pub(crate) mod options;
pub(crate) mod outage;
pub(crate) mod paced;
pub(crate) mod simulated;
pub(crate) mod talk;
pub(crate) mod worker;
pub(crate) mod writes;
