//! The real protocol, codecs and commit under virtual time: a world of nodes, a network with faults, and checkers.
//!
//! Everything follows from one seed, so a run that failed can be run again. `world` holds the nodes and what is on its
//! way between them, `faults` and `clients` what happens to them, `ledger` what must be true, `run` the course of a run.
//!
//! Left out: sockets, authentication and the HTTP surface, which the tests of the binary try with real processes.

pub mod agenda;
pub mod clients;
pub mod clock;
mod drive;
pub mod faults;
pub mod ledger;
pub mod lives;
pub mod losses;
pub mod network;
pub mod node;
pub mod parked;
pub mod run;
pub mod script;
pub mod seeds;
mod settle;
pub mod verdict;
pub mod waits;
pub mod weather;
pub mod world;
pub mod writes;
