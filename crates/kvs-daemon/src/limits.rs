//! Every bound of this crate, in one place.

use std::time::Duration;

/// Largest PID file, in bytes.
pub const PID_FILE_BYTES_MAX: usize = 4096;

/// Most instances that a status shows.
pub const INSTANCES_MAX: usize = 1024;

/// Lines of the log that an error of a failed start carries, and the bytes that they are taken from.
pub const TAIL_LINES_MAX: usize = 20;
/// See [`TAIL_LINES_MAX`].
pub const TAIL_BYTES_MAX: u64 = 16 * 1024;

/// How long a start waits for an answer unless told otherwise.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a stop waits for the end of the process unless told otherwise.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a PID file may be locked without a readable owner: others lock it for a moment to look at it.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Pause between two looks at something that another process changes.
pub(crate) const POLL_PAUSE: Duration = Duration::from_millis(10);

/// How long one attempt to connect to a starting instance may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
