//! Follows commits for the sake of rights: what is written about accounts is learnt, and what is written about metadata
//! voids the answers that were framed with it, before whoever wrote it is answered.
//!
//! Runs on the committer's thread. Records of accounts and metadata are rare and small; reading one back takes
//! microseconds.

use std::ops::Bound;
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use kvs_auth::accounts::place::Place;
use kvs_core::namespace::Namespace;
use kvs_core::path::Path;
use kvs_store::clock::Clock;
use kvs_store::engine::contract::Order;
use kvs_store::error::StoreError;
use kvs_store::keys::read_record_key;
use kvs_store::observer::Key;
use kvs_store::read::range::{self, PageRow, RangeQuery};
use kvs_store::store::Store;
use kvs_store::table::Table;

use crate::access::guard::{Accounts, Guard};
use crate::access::presence::Presence;
use crate::answer_cache::AnswerCache;
use crate::clock::SystemClock;

/// Records that are read at once when a node starts.
const LOAD_ROWS: usize = 1000;

/// Follows commits.
#[derive(Debug)]
pub(crate) struct Follower {
    /// The node's store, once it is open.
    store: OnceLock<Weak<Store>>,
    guard: Arc<Guard>,
    presence: Arc<Presence>,
    answers: Arc<AnswerCache>,
    clock: SystemClock,
}

impl Follower {
    /// Follows what a store that is not open yet will commit.
    pub(crate) fn new(
        guard: Arc<Guard>,
        presence: Arc<Presence>,
        answers: Arc<AnswerCache>,
        clock: SystemClock,
    ) -> Self {
        Self { store: OnceLock::new(), guard, presence, answers, clock }
    }

    /// Learns what a store holds, and follows it from then on. To be called before anything else writes to it.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn follow(&self, store: &Arc<Store>) -> Result<(), StoreError> {
        self.load(store, Namespace::Meta, &mut |path, _| self.presence.add(path))?;
        if let Some(accounts) = self.guard.accounts() {
            self.load(store, Namespace::Auth, &mut |path, json| accounts.learn(path.as_str(), Some(json)))?;
            learn_revocations(store, accounts)?;
        }
        // It is set once: a node has one store.
        drop(self.store.set(Arc::downgrade(store)));
        Ok(())
    }

    fn load(
        &self,
        store: &Store,
        namespace: Namespace,
        each: &mut dyn FnMut(&Path, &[u8]),
    ) -> Result<(), StoreError> {
        let view = store.view()?;
        let mut query = RangeQuery {
            namespace,
            start: Bytes::new(),
            end: Bytes::new(),
            prefix: Bytes::new(),
            delimiter: None,
            limit: LOAD_ROWS,
            order: Order::Ascending,
            after: None,
        };
        loop {
            let page = range::page(&view, &query, self.clock.now_ms())?;
            for row in &page.rows {
                if let PageRow::Key(path, record) = row {
                    each(path, &store.json(record)?);
                }
            }
            query.after = page.next;
            if query.after.is_none() {
                return Ok(());
            }
        }
    }

    /// These keys are about to change. A revocation is heard now, before it is on the disk: that some record is to lie at
    /// its place says all, and refusing too early is safe where the commit fails.
    pub(crate) fn committing(&self, keys: &[Key]) {
        for key in keys {
            match key.namespace {
                Namespace::Meta => self.presence.add(&key.path),
                Namespace::Auth if is_revocation(&key.path) => {
                    if let Some(accounts) = self.guard.accounts() {
                        accounts.learn(key.path.as_str(), Some(b"{}"));
                    }
                }
                Namespace::Auth | Namespace::Data | Namespace::Cluster => {}
            }
        }
    }

    /// These keys have changed.
    pub(crate) fn committed(&self, keys: &[Key]) {
        if keys.iter().any(|key| key.namespace == Namespace::Meta) {
            // Metadata governs whole subtrees; which answers it touches is not known.
            self.answers.forget_all();
        }
        let Some(accounts) = self.guard.accounts() else { return };
        let mut accounts_of = keys.iter().filter(|key| key.namespace == Namespace::Auth).peekable();
        if accounts_of.peek().is_none() {
            return;
        }
        let Some(store) = self.store.get().and_then(Weak::upgrade) else { return };
        for key in accounts_of {
            let found = store.read(Namespace::Auth, &key.path).and_then(|record| {
                let live = record.filter(|record| record.is_live(self.clock.now_ms()));
                live.map(|record| store.json(&record)).transpose()
            });
            match found {
                Ok(json) => accounts.learn(key.path.as_str(), json.as_deref()),
                Err(error) => {
                    tracing::error!(path = %key.path, %error, "a record of the accounts cannot be read")
                }
            }
        }
    }
}

fn is_revocation(path: &Path) -> bool {
    matches!(Place::parse(path.as_str()), Some(Place::Revoked(_) | Place::Floor { .. }))
}

/// Learns every revocation that there is any record of, the mark of a delete included: nothing takes one back.
fn learn_revocations(store: &Store, accounts: &Accounts) -> Result<(), StoreError> {
    let view = store.view()?;
    let from = Bound::Included(vec![Namespace::Auth.number()]);
    let to = Bound::Excluded(vec![Namespace::Auth.number() + 1]);
    for stored in view.range(Table::Records, (from, to), Order::Ascending) {
        let (row_key, _) = stored?;
        if let Some(key) = read_record_key(&row_key).filter(|key| is_revocation(&key.path)) {
            accounts.learn(key.path.as_str(), Some(b"{}"));
        }
    }
    Ok(())
}
