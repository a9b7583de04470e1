//! What the thread of the replicator is told.

use kvs_cluster::contract::Event;
use kvs_cluster::report::{Report, TombstoneReport};
use kvs_store::error::StoreError;
use tokio::sync::oneshot;

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Something was committed.
    Committed,
    /// An event for the machine.
    Event(Event),
    /// How does the cluster converge?
    Report(oneshot::Sender<Report>),
    /// Who keeps the tombstones?
    Tombstones(oneshot::Sender<Result<TombstoneReport, StoreError>>),
    /// The node stops.
    Stop,
}
