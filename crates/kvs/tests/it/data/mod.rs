//! The data interface of one node: `/kv`, `/history`, and what a node says about itself.

mod batch;
mod conditions;
mod deletes;
mod errors;
mod folding;
mod history;
mod oracle;
mod range;
mod read_many;
mod service;
mod ttl;
mod values;
