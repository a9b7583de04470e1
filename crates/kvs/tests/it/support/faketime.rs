//! Another wall clock for a node, by libfaketime where it is installed.

use std::path::PathBuf;
use std::process::Command;

/// Where Debian and others put the library.
const PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
];

/// The library, if it is installed.
pub(crate) fn library() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|place| place.is_file())
}

/// Whether clocks can be set; says that a test is skipped where they cannot.
pub(crate) fn is_there(test: &str) -> bool {
    let found = library().is_some();
    if !found {
        eprintln!("skipped: {test}: libfaketime is not installed");
    }
    found
}

/// Has a command run under a wall clock that is this many seconds ahead. Its monotonic clock stays as it is.
pub(crate) fn ahead(command: &mut Command, seconds: i64) {
    command
        .env("LD_PRELOAD", library().unwrap())
        .env("FAKETIME", format!("{seconds:+}"))
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
}

/// Removes what the library leaves in shared memory for a process that was killed.
pub(crate) fn clean(pid: u32) {
    for name in [format!("/dev/shm/faketime_shm_{pid}"), format!("/dev/shm/sem.faketime_sem_{pid}")] {
        std::fs::remove_file(name).ok();
    }
}
