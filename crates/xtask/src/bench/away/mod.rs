//! `cargo xtask bench away`: one of three nodes is away for some minutes while clients write to the others at a fixed rate.
//!
//! `worker` runs the cases that `options` asks for, each of them by `case`: all present, one away, one catching up. `writers`
//! are the clients, `watch` looks at disk, CPU and standings, `told` turns what was seen into rows of the table.

pub(crate) mod case;
pub(crate) mod options;
pub(crate) mod told;
pub(crate) mod watch;
pub(crate) mod worker;
pub(crate) mod writers;
