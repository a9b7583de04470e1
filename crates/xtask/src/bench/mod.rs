//! `cargo xtask bench node`: one node of the release build, its peers, and one load generator that drives them all.
//!
//! `launch` builds and starts the measuring process, `worker` is that process. The servers are other processes
//! (`process`, `peers`, `node`); the load is `load` with the request bytes of `dialect` and the answer readers
//! `http_reader` and `resp_reader`, over a `transport`; the measured parts are `throughput`, `residence` and `disk`; what comes out goes
//! through `figures`, `goals` and `table` to the terminal and to the document. `cluster` is `cargo xtask bench cluster` and
//! `auth` is `cargo xtask bench auth`, `fleet` is `cargo xtask bench fleet`, `away` is `cargo xtask bench away`, with parts of their own on the
//! same ground.

pub(crate) mod answer;
pub(crate) mod auth;
pub(crate) mod away;
pub(crate) mod bare_hyper;
pub(crate) mod batches;
pub(crate) mod blocks;
pub(crate) mod bound_exec;
pub(crate) mod cities;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod dialect;
pub(crate) mod disk;
pub(crate) mod document;
pub(crate) mod figures;
pub(crate) mod fleet;
pub(crate) mod goals;
pub(crate) mod histogram;
pub(crate) mod http_reader;
pub(crate) mod launch;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod node;
pub(crate) mod options;
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod procfs;
pub(crate) mod quiet;
pub(crate) mod reader;
pub(crate) mod report;
pub(crate) mod residence;
pub(crate) mod resp_reader;
pub(crate) mod scratch;
pub(crate) mod server;
pub(crate) mod table;
pub(crate) mod throughput;
pub(crate) mod transport;
pub(crate) mod values;
pub(crate) mod worker;
