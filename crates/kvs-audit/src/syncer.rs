//! The thread that puts what was appended on disk while its caller does something else, such as syncing another file.
//!
//! Nothing queues here: there is one wish (up to which entry, in which file), the latest one, and one answer (up to which
//! entry it is done). Wishes that come while a sync runs are done together by the next one.

use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::AuditError;
use crate::position::Position;

/// The thread, and what it shares.
#[derive(Debug)]
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Somebody wants something.
    wanted: Condvar,
    /// Something was done.
    done: Condvar,
}

#[derive(Debug)]
struct State {
    wish: Option<(Position, Arc<File>)>,
    synced: Position,
    failure: Option<String>,
    closing: bool,
}

impl Syncer {
    /// Starts the thread; everything up to `synced` is on disk already.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(crate) fn start(synced: Position) -> Result<Self, AuditError> {
        let state = State { wish: None, synced, failure: None, closing: false };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), wanted: Condvar::new(), done: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("audit-sync".to_owned())
            .spawn(move || theirs.run())
            .map_err(AuditError::Thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Wants everything up to `position` on disk, which syncing `file` does. Returns at once.
    pub(crate) fn want(&self, position: Position, file: Arc<File>) {
        let mut state = self.shared.lock();
        if state.synced.seq < position.seq {
            state.wish = Some((position, file));
            self.shared.wanted.notify_one();
        }
    }

    /// Waits until everything up to `seq` is on disk, which somebody must have wanted.
    ///
    /// # Errors
    ///
    /// A sync failed; what is on disk is not known.
    pub(crate) fn wait(&self, seq: u64) -> Result<(), AuditError> {
        let state = self.shared.lock();
        let ended = self.shared.done.wait_while(state, |state| {
            state.synced.seq < seq && state.failure.is_none() && !(state.closing && state.wish.is_none())
        });
        let state = ended.unwrap_or_else(PoisonError::into_inner);
        if state.synced.seq >= seq {
            return Ok(());
        }
        Err(AuditError::Poisoned(
            state.failure.clone().unwrap_or_else(|| "the audit trail is closed".to_owned()),
        ))
    }

    /// Up to where everything is on disk.
    pub(crate) fn synced(&self) -> Position {
        self.shared.lock().synced
    }

    /// Why nothing is synced any more.
    pub(crate) fn failure(&self) -> Option<String> {
        self.shared.lock().failure.clone()
    }
}

impl Drop for Syncer {
    /// Does what is still wanted, then ends the thread.
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wanted.notify_all();
        if let Some(thread) = self.thread.take() {
            // It returns nothing, and a panic in it has been printed.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is one assignment: there is no half of one to fear.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            let Some((position, file)) = state.wish.take() else {
                if state.closing {
                    return;
                }
                state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let synced = file.sync_data();
            state = self.lock();
            match synced {
                Ok(()) => state.synced = position,
                Err(error) => {
                    // After a failed sync the system may take pages for written that are not: never try again.
                    tracing::error!(error = %error, "the audit trail cannot be synced");
                    state.failure = Some(error.to_string());
                    state.closing = true;
                    state.wish = None;
                }
            }
            self.done.notify_all();
            if state.failure.is_some() {
                return;
            }
        }
    }
}
