//! `cargo xtask bench auth`: what accounts, permissions, the audit trail, the limit of requests and TLS cost, and how fast a
//! revocation travels.
//!
//! `worker` runs the parts that `options` asks for: `rights` (tokens, permissions, audit trail), `revocation`, `addresses`
//! (the limit of requests) and `encryption` (TLS). `nodes` starts nodes that differ in one thing, `accounts` makes users and
//! tokens on them, `caller` writes requests with and without a token, and `turns` drives nodes alternately under one load.

pub(crate) mod accounts;
pub(crate) mod addresses;
pub(crate) mod caller;
pub(crate) mod encryption;
pub(crate) mod nodes;
pub(crate) mod options;
pub(crate) mod revocation;
pub(crate) mod rights;
pub(crate) mod turns;
pub(crate) mod worker;
