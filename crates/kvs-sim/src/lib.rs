//! The real protocol, codecs and commit under virtual time: a world of nodes, a network with faults, and checkers.
//!
//! Everything follows from one seed, so a run that failed can be run again.
