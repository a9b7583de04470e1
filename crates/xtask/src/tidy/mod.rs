//! `cargo xtask tidy`: the house rules that a text search can check, each a pure function over texts.

pub(crate) mod arrows;
pub(crate) mod check;
pub(crate) mod circles;
pub(crate) mod finding;
pub(crate) mod links;
pub(crate) mod source;
pub(crate) mod tokens;
pub(crate) mod uses;
