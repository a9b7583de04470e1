//! The replicator's part for a node that begins: whom it fetches from, and when it is done.

use std::time::Duration;

use bytes::Bytes;
use kvs_core::version::JOINED_YOUNGEST_MS;
use kvs_protocol::call::{CallFailure, CallId};
use kvs_protocol::mode::Mode;
use kvs_store::commit::write::Transaction;
use kvs_store::error::StoreError;
use kvs_store::store::Store;
use uuid::Uuid;

use crate::bootstrap::{Bootstrap, Step};
use crate::context::Context;
use crate::limits::{ALONE_PATIENCE, REPAIR_TIMEOUT, SOURCE_PATIENCE};
use crate::outbox::{Outbox, Purpose};
use crate::peers::Peers;
use crate::report::BootstrapReport;
use crate::settings::{Begins, ReplicatorSettings};
use crate::work::Job;

/// What this node still has to fetch.
pub(crate) struct Fetching {
    bootstrap: Option<Bootstrap>,
    /// Whether a page is being taken: the bootstrap comes back changed.
    is_away: bool,
    /// Since when every peer that answers is itself fetching.
    syncing_since: Option<Duration>,
    /// Whether it began with nothing, or with a part of what its cluster holds.
    is_empty: bool,
    /// Until when a node that is empty waits for somebody to fetch from.
    alone_until: Duration,
}

impl Fetching {
    /// What a node that starts has to fetch.
    ///
    /// # Errors
    ///
    /// The notes of an earlier process cannot be read or written.
    pub(crate) fn begin(
        store: &Store,
        settings: &ReplicatorSettings,
        now: kvs_protocol::call::Now,
    ) -> Result<Self, StoreError> {
        let recent_ms = u64::try_from(settings.bootstrap_recent.as_millis()).unwrap_or(u64::MAX);
        let bootstrap = match settings.begins {
            Begins::Joining => Bootstrap::recall(store, now.wall_ms.saturating_sub(recent_ms))?,
            Begins::First => {
                store.commit(Transaction { writes: Vec::new(), marks: vec![Bootstrap::done_note()] })?;
                None
            }
        };
        // A part of what the cluster holds is as good as nothing to whoever reads here.
        let is_empty =
            bootstrap.as_ref().is_some_and(|bootstrap| store.last_local_seq() == 0 || bootstrap.is_begun());
        let alone_until = now.monotonic + ALONE_PATIENCE;
        Ok(Self { bootstrap, is_away: false, syncing_since: None, is_empty, alone_until })
    }

    /// Whether there is something to fetch.
    pub(crate) const fn is_under_way(&self) -> bool {
        self.bootstrap.is_some()
    }

    /// Whether there is, and somebody to fetch it from.
    pub(crate) fn has_source(&self) -> bool {
        self.bootstrap.as_ref().is_some_and(|bootstrap| bootstrap.source().is_some())
    }

    /// How far it is; `None` when nothing is fetched.
    pub(crate) fn report(&self) -> Option<BootstrapReport> {
        self.bootstrap.as_ref().filter(|bootstrap| bootstrap.source().is_some()).map(Bootstrap::report)
    }

    /// Whether this node has nothing to serve yet and waits for somebody to fetch it from. One that was admitted and knows of
    /// nobody else is the first of its cluster.
    pub(crate) fn waits_for_source(&self, context: &Context, peers: &Peers) -> bool {
        let is_first = peers.is_empty() && context.store.identity().joined_ms != JOINED_YOUNGEST_MS;
        self.is_empty && !is_first && context.now.monotonic < self.alone_until
    }

    /// When something is due.
    pub(crate) fn deadline(&self, context: &Context, peers: &Peers) -> Option<Duration> {
        let waiting = self.bootstrap.as_ref().filter(|it| it.in_flight.is_none() && !self.is_away);
        let page = waiting.map(|it| it.next_at.max(context.now.monotonic + Duration::from_millis(10)));
        let alone = Some(self.alone_until).filter(|_| self.waits_for_source(context, peers));
        page.into_iter().chain(alone).min()
    }

    /// Asks for the next page, choosing a source first where there is none.
    pub(crate) fn fetch(&mut self, context: &Context, peers: &Peers, outbox: &mut Outbox) {
        let now = context.now.monotonic;
        let Some(bootstrap) = self.bootstrap.as_mut().filter(|_| !self.is_away) else { return };
        if bootstrap.in_flight.is_some() || now < bootstrap.next_at {
            return;
        }
        if bootstrap.source().is_some_and(|source| !peers.is_reachable(&source)) {
            bootstrap.lose_source();
        }
        if bootstrap.source().is_none() {
            // One that said where it stands, and has what it needs itself; after a while any.
            let told = peers.iter().filter(|(_, peer)| peer.is_reachable() && peer.shipping.is_told());
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
        let Some(source) = bootstrap.source().and_then(|source| peers.get(&source)) else { return };
        let call = outbox.new_call();
        bootstrap.in_flight = Some(call);
        outbox.call(source, Purpose::Page, call, bootstrap.request().encode(), REPAIR_TIMEOUT);
    }

    /// A page came, or did not.
    pub(crate) fn take_reply(
        &mut self,
        context: &Context,
        peers: &mut Peers,
        outbox: &mut Outbox,
        (node, call): (Uuid, CallId),
        result: Result<Bytes, CallFailure>,
    ) {
        let now = context.now.monotonic;
        let Some(bootstrap) = self.bootstrap.as_mut().filter(|bootstrap| bootstrap.in_flight == Some(call))
        else {
            return;
        };
        bootstrap.in_flight = None;
        match result {
            Ok(bytes) => {
                self.is_away = true;
                outbox.work(Job::Page(Box::new(bootstrap.clone()), bytes));
            }
            Err(failure) => Self::go_on_elsewhere(bootstrap, peers, node, &failure.to_string(), now),
        }
    }

    /// A page was taken, or could not be.
    pub(crate) fn take_back(
        &mut self,
        context: &Context,
        peers: &mut Peers,
        mut bootstrap: Box<Bootstrap>,
        result: Result<Step, String>,
    ) {
        let now = context.now.monotonic;
        self.is_away = false;
        match result {
            Ok(Step::GoesOn { is_empty }) => {
                bootstrap.next_at = if is_empty { now } else { now + context.settings.fetch_delay };
                self.bootstrap = Some(*bootstrap);
            }
            Ok(Step::Done) => {
                self.bootstrap = None;
                for peer in peers.values_mut() {
                    peer.status_at = now;
                }
            }
            Err(reason) => {
                let node = bootstrap.source().unwrap_or_default();
                Self::go_on_elsewhere(&mut bootstrap, peers, node, &reason, now);
                self.bootstrap = Some(*bootstrap);
            }
        }
    }

    fn go_on_elsewhere(
        bootstrap: &mut Bootstrap,
        peers: &mut Peers,
        node: Uuid,
        reason: &str,
        now: Duration,
    ) {
        tracing::warn!(%node, %reason, "fetching goes on elsewhere or later");
        if let Some(peer) = peers.get_mut(&node) {
            peer.note_unanswered(now);
        }
        bootstrap.lose_source();
        bootstrap.next_at = now + SOURCE_PATIENCE;
    }
}
