//! What the suites share: a private place to run in, a node, clients that see every byte, and bounded waiting.

pub(crate) mod access;
pub(crate) mod answer;
pub(crate) mod attack;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod directory;
pub(crate) mod faketime;
pub(crate) mod finished;
pub(crate) mod forger;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod peer;
pub(crate) mod pid_file;
pub(crate) mod sandbox;
pub(crate) mod tls;
pub(crate) mod wait;
pub(crate) mod wire;
