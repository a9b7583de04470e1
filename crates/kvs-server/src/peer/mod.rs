//! Talking to other nodes: the door for their calls, the client for ours, and the secret behind both.
//!
//! Nothing here knows what a call means; [`service`] is where authenticated ones go. The rules of trust are in
//! `kvs_protocol::peer_auth`; this folder gives them sockets, limits and a log.

mod address;
pub mod client;
pub(crate) mod complaints;
mod connection;
pub(crate) mod gate;
pub mod keys;
mod lanes;
pub(crate) mod marks;
pub mod service;
