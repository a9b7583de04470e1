//! Waiting until servers have nothing left to do, so that no measurement pays for the one before it.

use std::thread;
use std::time::Duration;

use crate::bench::server::Server;
use crate::clock;

/// Servers are quiet when they use less CPU than this in one [`POLL`] together.
const CPU: Duration = Duration::from_millis(20);
const POLL: Duration = Duration::from_millis(200);

/// The longest wait.
const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until the servers do nothing, but not for ever.
pub(crate) fn wait<'a>(servers: impl IntoIterator<Item = &'a Server>) {
    let servers: Vec<&Server> = servers.into_iter().collect();
    let total = || servers.iter().filter_map(|server| server.cpu_time().ok()).sum::<Duration>();
    let begin = clock::now();
    let mut before = total();
    while begin.elapsed() < PATIENCE {
        thread::sleep(POLL);
        let now = total();
        if now.saturating_sub(before) < CPU {
            return;
        }
        before = now;
    }
}
