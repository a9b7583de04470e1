//! What takes the disk's time: done beside the replicator, so that a slow sync holds up no shipping.
//!
//! The replicator wants at most one piece of work of each sort at a time ([`crate::limits::WORK_MAX`] in all); the driver
//! does them in the order in which they were wanted and brings what came of each. What follows from a wrong clock is still
//! written on the replicator's own thread: it depends on what the clock says at that moment, and so does what is stamped next.

use std::fmt;

use bytes::Bytes;
use kvs_core::vector::Vector;
use kvs_protocol::call::Now;
use kvs_protocol::reconcile::session::Session;
use kvs_protocol::wire::keyed_record::KeyedVersion;
use kvs_store::commit::mark::Mark;
use kvs_store::commit::write::Transaction;
use kvs_store::error::StoreError;
use kvs_store::store::Store;
use uuid::Uuid;

use crate::bootstrap::{Bootstrap, Step};
use crate::receive;
use crate::store_holdings::StoreHoldings;

/// A piece of work.
pub struct Work(pub(crate) Job);

/// What came of a piece of work.
pub struct Worked(pub(crate) Done);

/// What is to be done.
pub(crate) enum Job {
    /// Marks are committed.
    Note(Noted, Vec<Mark>),
    /// Versions are forgotten at a peer's word.
    Forget { node: Uuid, versions: Vec<KeyedVersion> },
    /// What a session asks next is looked up.
    Ask(Box<Session>),
    /// What a session was answered is taken.
    Take(Box<Session>, Bytes),
    /// A page of a bootstrap is taken.
    Page(Box<Bootstrap>, Bytes),
}

/// What is noted, as far as that matters once it is.
#[derive(Debug)]
pub(crate) enum Noted {
    /// Which own writes some peer has.
    Acknowledged(Vector),
    /// The shortest grace of all members, in milliseconds.
    Grace(u64),
    /// Ended epochs before this second are folded away.
    Fold(u64),
    /// What is left of lost lives is covered.
    Adopted,
    /// This node's numbers begin anew.
    OwnNumbers,
    /// What a session with this peer showed to be held is claimed.
    Claim(Uuid),
}

impl Noted {
    /// What it is, for the log.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Acknowledged(_) => "what peers acknowledged",
            Self::Grace(_) => "the shortest grace of all members",
            Self::Fold(_) => "that epochs which every member has are folded away",
            Self::Adopted => "what is left of this node's lost lives",
            Self::OwnNumbers => "the new epoch",
            Self::Claim(_) => "what a session found",
        }
    }
}

/// What came of it.
pub(crate) enum Done {
    Noted(Noted, Result<(), StoreError>),
    /// How many were still held.
    Forgot {
        node: Uuid,
        dropped: Result<usize, StoreError>,
    },
    /// What is asked, `None` when the session is over.
    Asked(Box<Session>, Result<Option<Vec<u8>>, String>),
    Taken(Box<Session>, Result<(), String>),
    Page(Box<Bootstrap>, Result<Step, String>),
}

impl Work {
    /// Does it. Blocks for as long as the disk takes.
    #[must_use]
    pub fn perform(self, store: &Store, now: Now) -> Worked {
        Worked(match self.0 {
            Job::Note(noted, marks) => {
                let committed = store.commit(Transaction { writes: Vec::new(), marks });
                Done::Noted(noted, committed.map(|_| ()))
            }
            Job::Forget { node, versions } => {
                Done::Forgot { node, dropped: receive::forget(store, versions) }
            }
            Job::Ask(mut session) => {
                let asked = session.ask(&mut StoreHoldings::new(store, now.wall_ms));
                Done::Asked(session, asked.map_err(|error| error.to_string()))
            }
            Job::Take(mut session, reply) => {
                let taken = session.take_reply(&mut StoreHoldings::new(store, now.wall_ms), &reply);
                Done::Taken(session, taken.map_err(|error| error.to_string()))
            }
            Job::Page(mut bootstrap, reply) => {
                let taken = bootstrap.take_bytes(store, &reply, now.monotonic);
                Done::Page(bootstrap, taken)
            }
        })
    }

    const fn name(&self) -> &'static str {
        match &self.0 {
            Job::Note(noted, _) => noted.name(),
            Job::Forget { .. } => "versions that were deleted elsewhere",
            Job::Ask(_) => "what a session asks",
            Job::Take(..) => "what a session was answered",
            Job::Page(..) => "a page of a bootstrap",
        }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Work").field(&self.name()).finish()
    }
}

impl fmt::Debug for Worked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Worked").finish_non_exhaustive()
    }
}
