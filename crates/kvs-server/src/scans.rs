//! Turns for work that blocks for long: ranges, histories, recursive deletes, large batches.
//!
//! Such work runs on threads of its own, so that it never holds up a connection, and only so much of it at once, so that
//! it can neither take all memory nor starve the single reads.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::limits::{SCAN_WAIT_MAX, SCANS_MAX};
use crate::problem::{Code, Problem};

/// The turns.
#[derive(Debug, Clone)]
pub(crate) struct Scans(Arc<Semaphore>);

impl Scans {
    /// All turns free.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(SCANS_MAX)))
    }

    /// Runs `work` on a thread that may block, when its turn comes. A caller that goes away meanwhile does not stop it.
    ///
    /// # Errors
    ///
    /// The work's, or [`Code::Overloaded`] when no turn came in time.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = tokio::time::timeout(SCAN_WAIT_MAX, Arc::clone(&self.0).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Problem::new(Code::Overloaded, "too many large reads at once; ask again"));
        };
        let work = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        work.await.unwrap_or_else(|error| Err(Problem::internal(format!("a scan ended early: {error}"))))
    }
}
