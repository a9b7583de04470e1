//! The commands, one file per family. Each takes its arguments and a printer, and says how the program ends.

mod audit;
mod backup;
mod check;
mod connect;
mod debug;
pub(crate) mod dispatch;
mod history;
mod list;
mod members;
mod parked;
mod restore;
mod run;
mod service;
mod settings;
mod tls;
mod token;
mod transfer;
pub(crate) mod unknown;
mod value;
mod version;
