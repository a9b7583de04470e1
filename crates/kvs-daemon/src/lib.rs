//! Instances as processes: start one in the background, stop it, say what runs.
//!
//! An instance is called like its configuration file. While it runs it holds the lock of its PID file
//! ([`pidfile`]), so that *locked* means running and *not locked* means that nobody does, whatever the file says. A
//! process is signalled only when the lock is held, its number and its start time are those of the file, and a
//! process descriptor pins it.
//!
//! There is no `fork` here: the daemon is the same program, started again with arguments that the caller chooses,
//! which then calls [`session::detach`] and [`pidfile::PidFile::acquire`].
//!
//! Linux only: it reads `/proc` and needs process descriptors (Linux 5.3).

mod clock;
pub mod error;
mod folder;
pub mod home;
pub mod limits;
mod log;
pub mod pidfile;
mod probe;
mod process;
mod record;
pub mod session;
pub mod start;
pub mod status;
pub mod stop;
