//! The audit log of a running node: one value that all its threads share.
//!
//! Whoever writes data notes what it is about to do with [`AuditLog::record`], does it, and waits with [`AuditLog::wait`]
//! before it answers: the two files are synced side by side. What strangers cause goes through [`AuditLog::note_public`],
//! which is capped and not waited for. Once a second somebody calls [`AuditLog::checkpoint_if_due`].
//!
//! All calls may wait for the disk and none of them takes longer than the disk does. Locks are held in the order trail,
//! checkpoints; the one for peers' checkpoints alone.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::checkpoint::{Checkpoint, PublicKey};
use crate::checkpoint_file::{CheckpointFile, Kept};
use crate::error::AuditError;
use crate::event::{Event, EventKind, Outcome};
use crate::files::own_checkpoints;
use crate::node_key::NodeKey;
use crate::peers::PeerCheckpoints;
use crate::position::Position;
use crate::suppression::Suppression;
use crate::syncer::Syncer;
use crate::trail::{Opening, Options, Trail};

/// The audit log of a running node. When it is dropped, what was noted is put on disk.
#[derive(Debug)]
pub struct AuditLog {
    node: Uuid,
    key: Arc<NodeKey>,
    checkpoint_interval_ms: u64,
    opening: Opening,
    trail: Mutex<Noting>,
    own: Mutex<OwnCheckpoints>,
    peers: Mutex<PeerCheckpoints>,
    // Ends after the trail's last lines were wanted, in `drop` below.
    syncer: Syncer,
}

/// A promise that entries will be on disk; ask for it to be kept with [`AuditLog::wait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what was recorded is not on disk before it was waited for"]
pub struct SyncTicket {
    seq: u64,
}

#[derive(Debug)]
struct Noting {
    trail: Trail,
    suppression: Suppression,
}

#[derive(Debug)]
struct OwnCheckpoints {
    file: CheckpointFile,
    last: Option<Checkpoint>,
}

impl AuditLog {
    /// Opens the log in `dir` (see [`crate::files::audit_dir`]), or begins one, starts its thread, and signs where it
    /// stands.
    ///
    /// # Errors
    ///
    /// As [`Trail::open`]; also when there is no thread to be had.
    pub fn open(dir: &Path, options: Options, now_ms: u64) -> Result<Self, AuditError> {
        let (trail, opening) = Trail::open(dir, options, now_ms)?;
        let file = CheckpointFile::open(own_checkpoints(dir), options.node)?;
        let peers = PeerCheckpoints::open(dir, options.node)?;
        let log = Self {
            node: options.node,
            key: trail.key(),
            checkpoint_interval_ms: options.checkpoint_interval_ms,
            opening,
            syncer: Syncer::start(trail.position())?,
            trail: Mutex::new(Noting {
                trail,
                suppression: Suppression::new(options.public_events_per_second_max),
            }),
            own: Mutex::new(OwnCheckpoints { file, last: None }),
            peers: Mutex::new(peers),
        };
        log.checkpoint_now(now_ms)?;
        Ok(log)
    }

    /// What was found when the log was opened.
    pub const fn opening(&self) -> &Opening {
        &self.opening
    }

    /// The public part of the key that this node's checkpoints are signed with.
    pub fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// Appends one entry per event, in their order, and begins to put them on disk.
    ///
    /// # Errors
    ///
    /// No entry was appended: what they tell of must not be done. [`AuditError::Full`] may pass; after
    /// [`AuditError::Poisoned`] every call gives it.
    pub fn record(&self, events: &[Event<'_>]) -> Result<SyncTicket, AuditError> {
        let mut noting = self.noting()?;
        let position = noting.trail.append(events)?;
        // Under the lock, so that wishes come in the order of the entries.
        self.syncer.want(position, noting.trail.current_file());
        Ok(SyncTicket { seq: position.seq })
    }

    /// Appends entries without asking for them to be on disk; the next [`Self::record`] or
    /// [`Self::checkpoint_if_due`] does that.
    ///
    /// # Errors
    ///
    /// As [`Self::record`].
    pub fn note(&self, events: &[Event<'_>]) -> Result<(), AuditError> {
        self.noting()?.trail.append(events).map(drop)
    }

    /// Appends an entry about what a stranger did, unless there were too many of them in this second: then it is counted,
    /// and the count is noted when the second is over.
    ///
    /// # Errors
    ///
    /// As [`Self::record`].
    pub fn note_public(&self, event: &Event<'_>) -> Result<(), AuditError> {
        let mut noting = self.noting()?;
        noting.note_suppressed(event.time_ms)?;
        if noting.suppression.admit(event.kind) {
            noting.trail.append(std::slice::from_ref(event))?;
        }
        Ok(())
    }

    /// Waits until what the ticket stands for is on disk.
    ///
    /// # Errors
    ///
    /// [`AuditError::Poisoned`]: a sync failed, and nobody knows what is on disk.
    pub fn wait(&self, ticket: SyncTicket) -> Result<(), AuditError> {
        self.syncer.wait(ticket.seq)
    }

    /// The number of the last entry; it may not be on disk yet.
    pub fn last_seq(&self) -> u64 {
        self.lock_trail().trail.position().seq
    }

    /// What happens about once a second: counts of suppressed events are noted, what was noted is put on disk, and when
    /// it is time for a checkpoint and there is something new, it is signed, kept, and returned for the peers.
    ///
    /// A checkpoint covers only what is on disk. It does not wait for a sync: what is being synced now is covered by the
    /// next.
    ///
    /// # Errors
    ///
    /// As [`Self::record`], and when the checkpoint cannot be kept; it must not be sent then.
    pub fn checkpoint_if_due(&self, now_ms: u64) -> Result<Option<Checkpoint>, AuditError> {
        {
            let mut noting = self.noting()?;
            noting.note_suppressed(now_ms)?;
            self.syncer.want(noting.trail.position(), noting.trail.current_file());
        }
        let mut own = lock(&self.own);
        let is_early = own.last.is_some_and(|last| {
            now_ms >= last.time_ms && now_ms - last.time_ms < self.checkpoint_interval_ms
        });
        if is_early {
            return Ok(None);
        }
        self.sign(&mut own, self.syncer.synced(), now_ms)
    }

    /// Puts everything that was noted on disk and signs a checkpoint over all of it, as at the end of a node; `None` when
    /// the last one says the same already.
    ///
    /// # Errors
    ///
    /// As [`Self::checkpoint_if_due`] and [`Self::wait`].
    pub fn checkpoint_now(&self, now_ms: u64) -> Result<Option<Checkpoint>, AuditError> {
        let position = {
            let mut noting = self.noting()?;
            noting.note_left_out(now_ms)?;
            self.syncer.want(noting.trail.position(), noting.trail.current_file());
            noting.trail.position()
        };
        self.syncer.wait(position.seq)?;
        self.sign(&mut lock(&self.own), position, now_ms)
    }

    /// The last checkpoint that this process signed, for a peer that has just been met.
    pub fn last_checkpoint(&self) -> Option<Checkpoint> {
        lock(&self.own).last
    }

    /// Keeps a checkpoint that `from` has sent of itself, if it says something new, and returns what became of it. A
    /// contradiction and a new key are noted in this node's own trail too, with the checkpoint.
    ///
    /// # Errors
    ///
    /// The bytes are no checkpoint of `from`, there is no room, or the disk fails; nothing was kept.
    pub fn keep_peer_checkpoint(&self, from: Uuid, bytes: &[u8], now_ms: u64) -> Result<Kept, AuditError> {
        let checkpoint = Checkpoint::decode(bytes)?;
        if checkpoint.node != from {
            return Err(AuditError::CheckpointFormat("it is about another node than the one that sent it"));
        }
        let kept = lock(&self.peers).keep(&checkpoint)?;
        let outcome = match kept {
            Kept::Kept | Kept::Known | Kept::Stale => return Ok(kept),
            Kept::KeptWithNewKey => Outcome::Done,
            Kept::Contradicts => Outcome::Refused("it contradicts one that is kept"),
        };
        let (peer, text) = (from.to_string(), checkpoint.encode());
        self.note_public(&Event {
            subject: Some(&peer),
            outcome,
            detail: Some(&text),
            ..Event::new(now_ms, EventKind::PeerCheckpoint, "")
        })?;
        Ok(kept)
    }

    fn sign(
        &self,
        own: &mut OwnCheckpoints,
        position: Position,
        now_ms: u64,
    ) -> Result<Option<Checkpoint>, AuditError> {
        if position.seq == 0 || own.last.is_some_and(|last| last.seq >= position.seq) {
            return Ok(None);
        }
        let checkpoint = Checkpoint::sign(&self.key, self.node, position.seq, position.head, now_ms);
        own.file.keep(&checkpoint)?;
        own.last = Some(checkpoint);
        Ok(Some(checkpoint))
    }

    /// The trail, which refuses everything once a sync has failed.
    fn noting(&self) -> Result<MutexGuard<'_, Noting>, AuditError> {
        let mut noting = self.lock_trail();
        if let Some(reason) = self.syncer.failure() {
            noting.trail.poison(&reason);
            return Err(AuditError::Poisoned(reason));
        }
        Ok(noting)
    }

    fn lock_trail(&self) -> MutexGuard<'_, Noting> {
        lock(&self.trail)
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        let noting = self.lock_trail();
        self.syncer.want(noting.trail.position(), noting.trail.current_file());
    }
}

impl Noting {
    fn note_suppressed(&mut self, now_ms: u64) -> Result<(), AuditError> {
        let left_out = self.suppression.take_due(now_ms);
        self.note_count(left_out, now_ms)
    }

    fn note_left_out(&mut self, now_ms: u64) -> Result<(), AuditError> {
        let left_out = self.suppression.take();
        self.note_count(left_out, now_ms)
    }

    fn note_count(&mut self, left_out: Option<String>, now_ms: u64) -> Result<(), AuditError> {
        let Some(text) = left_out else { return Ok(()) };
        self.trail
            .append(&[Event { detail: Some(&text), ..Event::new(now_ms, EventKind::Suppressed, "") }])?;
        Ok(())
    }
}

/// The value behind a lock. A thread that panicked under it left a trail whose next write begins where the last whole one
/// ended, and lists of which each is changed by one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
