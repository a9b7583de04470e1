//! The real protocol, codecs and commit under virtual time: a world of nodes, a network with faults, and checkers.
//!
//! Everything follows from one seed, so a run that failed can be run again. `world` holds the nodes, and `agenda`
//! what is on its way between them, `faults`, `fates` and `clients` what happens to them, `ledger` and `verdict` what must
//! be true, `run` the course of a run. `script` tells a story instead, without chance.
//!
//! Left out: sockets, authentication and the HTTP surface, which the tests of the binary try with real processes.

pub mod agenda;
pub mod clients;
pub mod clock;
pub mod disks;
mod drive;
mod dropped;
pub mod fates;
pub mod faults;
pub mod fleet;
mod fleet_members;
pub mod held;
pub mod ledger;
pub mod lives;
pub mod losses;
pub mod members;
pub mod network;
pub mod node;
pub mod parked;
pub mod profile;
mod relaying;
mod relays;
pub mod run;
pub mod script;
pub mod seeds;
mod settle;
pub mod step;
pub mod verdict;
mod waiting;
pub mod waits;
pub mod weather;
pub mod world;
pub mod writes;
mod wrong_clocks;
