//! HTTP: from a request to an answer. One file per resource; [`door`] is where every request comes in.

pub(crate) mod accounts;
pub(crate) mod backup;
pub(crate) mod batch;
pub(crate) mod body;
pub(crate) mod bounded_list;
pub(crate) mod cluster;
pub(crate) mod copies;
pub(crate) mod delete;
pub(crate) mod door;
pub(crate) mod entrance;
pub(crate) mod head;
pub(crate) mod health;
pub(crate) mod history;
pub(crate) mod json_list;
pub(crate) mod metadata;
pub(crate) mod metrics;
pub(crate) mod parked;
pub(crate) mod query;
pub(crate) mod range;
pub(crate) mod read;
pub(crate) mod read_many;
pub(crate) mod reply;
pub(crate) mod write;
