//! The way of a write from a request to the committer and back.

use kvs_store::commit::write::{Outcome, Write};
use kvs_store::error::StoreError;
use kvs_store::store::Store;
use tokio::sync::oneshot;

/// Commits a transaction: all its writes or none. Returns once they are durable, one outcome for each.
///
/// A caller that goes away before does not stop it.
///
/// # Errors
///
/// The store's; nothing was written, except after [`StoreError::Poisoned`], where nobody knows.
pub(crate) async fn commit(store: &Store, writes: Vec<Write>) -> Result<Vec<Outcome>, StoreError> {
    let (sender, receiver) = oneshot::channel();
    let reply = Box::new(move |verdict| {
        // A caller that is gone has no use for the verdict.
        drop(sender.send(verdict));
    });
    store.submit(writes, reply)?;
    receiver.await.unwrap_or(Err(StoreError::Closed)).map_err(|error| store.with_room(error))
}
