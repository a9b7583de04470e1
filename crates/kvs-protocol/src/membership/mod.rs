//! Who is in the cluster: failure detection by SWIM (`foca`), and around it lists, admission and patience.
//!
//! `contract.rs` holds what goes in and out, `swim.rs` the machine. `kvs-sim` has a small network under virtual time in which
//! machines are tried. The design document `docs/design/membership.md` tells why each part is there.
//!
//! Left out: sockets and authentication (a call that arrives here is authentic), the clock, and what members are for.

pub mod contract;
pub mod legible;
pub mod member;
pub mod roster;
pub mod settings;
pub mod swim;

mod admission;
mod aging;
mod alarm;
mod choice;
mod detector;
mod detector_config;
mod errand;
mod exchange;
mod frame;
mod hint;
mod hint_state;
mod lateness;
mod life;
mod message;
mod pace;
mod probe;
mod purpose;
mod record;
mod registry;
mod reprobe;
mod rumors;
mod schedule;
mod seed;
mod sums;
mod view;
mod wire;
