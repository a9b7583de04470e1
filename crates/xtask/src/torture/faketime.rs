//! Another wall clock for a node, by libfaketime where it is installed.

use std::path::PathBuf;

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

/// Variables that put a process so many seconds ahead. Its monotonic clock stays as it is.
pub(crate) fn variables(ahead_s: u64) -> Vec<String> {
    let Some(library) = library() else { return Vec::new() };
    vec![
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME=+{ahead_s}"),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        "NO_FAKE_STAT=1".to_owned(),
    ]
}

/// Removes what the library leaves in shared memory for a process that was killed.
pub(crate) fn clean(pid: u32) {
    for name in [format!("/dev/shm/faketime_shm_{pid}"), format!("/dev/shm/sem.faketime_sem_{pid}")] {
        std::fs::remove_file(name).ok();
    }
}
