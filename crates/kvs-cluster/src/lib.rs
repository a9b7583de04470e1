//! A node among others: the protocol tied to the store.
//!
//! Blocking, without sockets, runtime or clock: the server drives it with real ones, the simulator with virtual ones.
//!
//! Left out: rules that need no store (`kvs-protocol`), and how a record is committed (`kvs-store`).
