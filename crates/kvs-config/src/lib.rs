//! The configuration of a node: one table of keys, the YAML reader, the generated file, the environment.
//!
//! [`keys`] holds the table. Everything else is driven by it: what a key may hold, its default, the commented
//! `config.yaml` that is written when there is none, the `KVS_<KEY>` variables, and the key that a typo probably
//! meant. A wrong file ends in one line that names file, line, key and what was expected.
//!
//! The crate knows nothing of what the keys are for: it checks shapes, ranges and the few rules that bind two keys.

pub mod choice;
pub mod cluster_key;
pub mod config;
mod document;
pub mod duration;
pub mod error;
mod file;
pub mod host;
pub mod keys;
pub mod limits;
pub mod name;
pub mod network;
mod peer;
pub mod secret;
mod setting;
pub mod template;
mod value;
pub mod variables;
