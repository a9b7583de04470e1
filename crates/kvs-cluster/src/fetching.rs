//! The replicator's part for a node that begins: whom it fetches from, and when it is done.

use bytes::Bytes;
use kvs_protocol::call::{CallFailure, CallId};
use kvs_protocol::mode::Mode;
use kvs_protocol::wire::page::PageReply;
use uuid::Uuid;

use crate::bootstrap::Step;
use crate::limits::{REPAIR_TIMEOUT, SOURCE_PATIENCE};
use crate::replicator::{Purpose, Replicator};

impl Replicator {
    /// Asks for the next page, choosing a source first where there is none.
    pub(crate) fn fetch(&mut self) {
        let now = self.now.monotonic;
        let Some(bootstrap) = self.bootstrap.as_mut() else { return };
        if bootstrap.in_flight.is_some() || now < bootstrap.next_at {
            return;
        }
        if let Some(source) = bootstrap.source()
            && !self.peers.get(&source).is_some_and(crate::peer::Peer::is_reachable)
        {
            bootstrap.lose_source();
        }
        if bootstrap.source().is_none() {
            // One that said where it stands, and has what it needs itself; after a while any.
            let told = self.peers.iter().filter(|(_, peer)| peer.is_reachable() && peer.shipping.is_told());
            let (ready, syncing): (Vec<_>, Vec<_>) = told.partition(|(_, peer)| peer.mode != Mode::Syncing);
            let chosen = if let Some((node, _)) = ready.first() {
                Some(**node)
            } else if let Some((node, _)) = syncing.first() {
                let since = *self.syncing_since.get_or_insert(now);
                (now.saturating_sub(since) >= SOURCE_PATIENCE).then_some(**node)
            } else {
                self.syncing_since = None;
                None
            };
            let Some(node) = chosen else { return };
            tracing::info!(%node, "fetching what the cluster holds");
            bootstrap.choose(node);
        }
        let Some(source) = bootstrap.source() else { return };
        let request = bootstrap.request();
        let call = self.new_call();
        if let Some(bootstrap) = self.bootstrap.as_mut() {
            bootstrap.in_flight = Some(call);
        }
        self.call(source, Purpose::Page, call, request.encode(), REPAIR_TIMEOUT);
    }

    /// Takes a page.
    pub(crate) fn take_page(&mut self, node: Uuid, call: CallId, result: Result<Bytes, CallFailure>) {
        let now = self.now.monotonic;
        let Some(bootstrap) = self.bootstrap.as_mut().filter(|bootstrap| bootstrap.in_flight == Some(call))
        else {
            return;
        };
        bootstrap.in_flight = None;
        bootstrap.next_at = now + self.settings.fetch_delay;
        let page = result
            .map_err(|failure| failure.to_string())
            .and_then(|bytes| PageReply::decode(&bytes).map_err(|error| error.to_string()));
        let taken = match page {
            Ok(page) => {
                if page.records.is_empty() {
                    bootstrap.next_at = now;
                }
                bootstrap.take(&self.store, page, now).map_err(|error| error.to_string())
            }
            Err(reason) => Err(reason),
        };
        match taken {
            Ok(Step::GoesOn) => {}
            Ok(Step::Done) => {
                self.bootstrap = None;
                for peer in self.peers.values_mut() {
                    peer.status_at = now;
                }
            }
            Err(reason) => {
                tracing::warn!(%node, %reason, "fetching goes on elsewhere or later");
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.note_failure(now);
                }
                bootstrap.lose_source();
                bootstrap.next_at = now + SOURCE_PATIENCE;
            }
        }
    }
}
