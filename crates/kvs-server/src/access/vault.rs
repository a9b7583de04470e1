//! The store behind the decision: nothing comes out and nothing goes in without [`kvs_auth::decision`] having said yes.
//!
//! Reads are decided with the record that was read; writes by their scope here, and by the key's rights inside the
//! commit. Numbers about the store as a whole are no one's key and need no right; whoever may see all of it at once (an
//! administrator, a backup) asks for [`Vault::whole`].

use std::sync::Arc;

use bytes::Bytes;
use kvs_auth::caller::Caller;
use kvs_auth::decision::{
    Action, Authorized, Denied, Resource, Sealed, State as KeyState, authorize, authorize_admin,
    authorize_scope, decide, decide_scope,
};
use kvs_auth::rights::{Lookup as _, Rights, rights_of};
use kvs_core::namespace::Namespace;
use kvs_core::path::{DecodedText, Path};
use kvs_core::precondition::Precondition;
use kvs_core::record::{Principal, Record};
use kvs_store::commit::write::{Change, Outcome, Write};
use kvs_store::compression::Content;
use kvs_store::engine::contract::Order;
use kvs_store::error::StoreError;
use kvs_store::node::Identity as NodeIdentity;
use kvs_store::read::history::Revision;
use kvs_store::read::range::{self, Page, RangeQuery};
use kvs_store::read::view::View;
use kvs_store::shared::{State, Status};
use kvs_store::store::Store;

use crate::access::guard::Guard;
use crate::access::lookup::Rows;
use crate::access::presence::Presence;
use crate::access::rights_pool::RightsPool;
use crate::access::visitor::Visitor;
use crate::access::warrant::{ClientWarrant, Otherwise, refusal_of};
use crate::answer::Answer;
use crate::answer_cache::{AnswerCache, Lookup};
use crate::metrics::{CacheLookup, Metrics};
use crate::problem::Problem;
use crate::writer;

/// Pages of a subtree that are looked through before metadata is laid over it.
const COVERED_PAGES_MAX: usize = 5;

/// The store, the answers that were framed from it, and who may have them.
pub(crate) struct Vault {
    store: Arc<Store>,
    answers: Arc<AnswerCache>,
    presence: Arc<Presence>,
    pool: RightsPool,
    guard: Arc<Guard>,
}

/// What governs a path, for who may read it.
pub(crate) struct Governed {
    /// Owner, group and mode, or nobody's.
    pub(crate) rights: Rights,
    /// What there is of it.
    pub(crate) state: KeyState,
}

impl Governed {
    /// Whether there is anything to tell: a value, or something that governs the path.
    pub(crate) const fn is_there(&self) -> bool {
        matches!(self.state, KeyState::Live) || matches!(self.rights, Rights::Governed(_))
    }
}

impl Vault {
    /// Puts the decision in front of a store.
    pub(crate) fn new(
        store: Arc<Store>,
        answers: Arc<AnswerCache>,
        presence: Arc<Presence>,
        guard: Arc<Guard>,
    ) -> Self {
        Self { store, answers, presence, pool: RightsPool::new(), guard }
    }

    /// The live value under a raw path, if it is cached and the caller may have it. One that is not its own decoding is
    /// not looked for: it is for [`Vault::read`], which has a path and looks there too.
    pub(crate) fn cached(
        &self,
        caller: &Caller<'_>,
        raw_path: &[u8],
        now_ms: impl FnOnce() -> u64,
    ) -> Option<Answer> {
        let path = DecodedText::of_raw(raw_path)?;
        let answer = self.answers.find(path).filter(|answer| answer.is_live(now_ms))?;
        open_cached(caller, path, answer).ok()
    }

    /// The live value under a path; `None` also where the caller may not know of it. May read from the disk.
    ///
    /// # Errors
    ///
    /// The caller may read nothing at all, or the disk cannot be read.
    pub(crate) fn read(
        &self,
        caller: &Caller<'_>,
        path: &Path,
        now_ms: u64,
        metrics: &Metrics,
    ) -> Result<Option<Answer>, Problem> {
        decide_scope(caller, Action::Read).map_err(refused)?;
        let fill = match self.answers.look_up(path) {
            Lookup::Found(answer) => {
                let answer = Some(answer).filter(|answer| answer.is_live(|| now_ms));
                if let Some(Ok(answer)) = answer.map(|answer| open_cached(caller, path.into(), answer)) {
                    metrics.count_lookup(CacheLookup::Hit);
                    return Ok(Some(answer));
                }
                // What may not be read, or is over, costs and counts what a key that is not there does.
                metrics.count_lookup(CacheLookup::Miss);
                None
            }
            Lookup::Missing(fill) => {
                metrics.count_lookup(CacheLookup::Miss);
                Some(fill)
            }
            Lookup::Bypass => {
                metrics.count_lookup(CacheLookup::Miss);
                None
            }
        };
        let record = self.store.read(Namespace::Data, path)?;
        let rights = self.rights(path, record.as_ref(), now_ms)?;
        let Some(record) = record.filter(|record| record.is_live(now_ms)) else { return Ok(None) };
        let shared = rights.map(|rights| self.pool.share(rights));
        let resource = resource_of(path.as_bytes(), shared.as_deref());
        let Ok(record) = authorize(caller, Action::Read, &resource, Sealed::new(record)) else {
            return Ok(None);
        };
        let record = record.into_inner();
        let answer = Answer::frame(path, &record, &self.store.json(&record)?, shared);
        // While the store is not open for writes it may be opened again, which changes it without a commit.
        if let Some(fill) = fill
            && self.store.state() == State::Open
        {
            fill.with(&answer);
        }
        Ok(Some(answer))
    }

    /// The versions of a key, newest first; none where the caller may not know of it. Reads from the disk.
    ///
    /// # Errors
    ///
    /// The caller may read nothing at all, or the disk cannot be read.
    pub(crate) fn history(
        &self,
        caller: &Caller<'_>,
        path: &Path,
        now_ms: u64,
    ) -> Result<Vec<Revision>, Problem> {
        decide_scope(caller, Action::Read).map_err(refused)?;
        // Whoever may not know of the key does not wait for its versions to be read, which are many or none.
        if self.unseal_read(caller, path, now_ms, Sealed::new(()))?.is_none() {
            return Ok(Vec::new());
        }
        // What counts are the rights from after they were read.
        let revisions = Sealed::new(self.store.history(Namespace::Data, path)?);
        Ok(self.unseal_read(caller, path, now_ms, revisions)?.unwrap_or_default())
    }

    /// Opens what is about a path, by the rights of now; `None` where the caller may not read it.
    fn unseal_read<T>(
        &self,
        caller: &Caller<'_>,
        path: &Path,
        now_ms: u64,
        sealed: Sealed<T>,
    ) -> Result<Option<T>, StoreError> {
        // What was dropped or recalled is still its owner's.
        let record = self.store.read_slot(Namespace::Data, path)?;
        let rights = self.rights(path, record.as_ref(), now_ms)?;
        let resource = resource_of(path.as_bytes(), rights.as_ref());
        Ok(authorize(caller, Action::Read, &resource, sealed).map(Authorized::into_inner).ok())
    }

    /// A page of a range, without what the caller may not read. Reads from the disk.
    ///
    /// # Errors
    ///
    /// The disk cannot be read.
    pub(crate) fn page(
        &self,
        caller: &Caller<'_>,
        view: &View,
        query: &RangeQuery,
        now_ms: u64,
    ) -> Result<Page, StoreError> {
        self.page_for(caller, Action::Read, view, query, now_ms)
    }

    /// A page of keys, without those that the caller may not do this to.
    ///
    /// # Errors
    ///
    /// The disk cannot be read.
    pub(crate) fn page_for(
        &self,
        caller: &Caller<'_>,
        action: Action,
        view: &View,
        query: &RangeQuery,
        now_ms: u64,
    ) -> Result<Page, StoreError> {
        if matches!(caller, Caller::Everybody) {
            return range::page(view, query, now_ms);
        }
        range::page_of(view, query, now_ms, &mut |path, record| {
            let rights = self.rights(path, Some(record), now_ms)?;
            let resource = resource_of(path.as_bytes(), rights.as_ref());
            Ok(authorize(caller, action, &resource, Sealed::new(())).is_ok())
        })
    }

    /// What governs a path; `None` where the caller may not know of it.
    ///
    /// # Errors
    ///
    /// The caller may read nothing at all, or the disk cannot be read.
    pub(crate) fn governed(
        &self,
        caller: &Caller<'_>,
        path: &Path,
        now_ms: u64,
    ) -> Result<Option<Governed>, Problem> {
        decide_scope(caller, Action::Read).map_err(refused)?;
        let record = self.store.read(Namespace::Data, path)?;
        let rights = self.rights_anyway(path, record.as_ref(), now_ms)?;
        let is_live = record.is_some_and(|record| record.is_live(now_ms));
        let state = if is_live { KeyState::Live } else { KeyState::Unknown };
        let resource = Resource { path: path.as_bytes(), state, rights: &rights, above: None };
        let sealed = Sealed::new(());
        let is_allowed = authorize(caller, Action::Read, &resource, sealed).is_ok();
        Ok(is_allowed.then_some(Governed { rights, state }))
    }

    /// What governs a path, for a change of it that the commit decides about.
    ///
    /// # Errors
    ///
    /// The disk cannot be read.
    pub(crate) fn governing(&self, path: &Path, now_ms: u64) -> Result<Rights, StoreError> {
        let record = self.store.read(Namespace::Data, path)?;
        self.rights_anyway(path, record.as_ref(), now_ms)
    }

    /// Whether metadata on a path would come to govern keys below it that others than the caller have made. It does not
    /// where the caller owns the metadata that governs them now. Reads from the disk; a subtree that is too large to be
    /// looked through counts as one with such keys.
    ///
    /// # Errors
    ///
    /// The disk cannot be read.
    pub(crate) fn would_cover_others(
        &self,
        caller: &Caller<'_>,
        path: &Path,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let own = caller.principal();
        let governs = |rights: &Rights| matches!(rights, Rights::Governed(metadata) if metadata.owner == own);
        if governs(&self.rights_anyway(path, None, now_ms)?) {
            return Ok(false);
        }
        let read = |namespace, path: &Path| self.store.read(namespace, path);
        let mut rows = Rows { read, presence: &self.presence, now_ms };
        let mut is_covered = |key: &Path| -> Result<bool, StoreError> {
            for at in std::iter::once(key.clone()).chain(key.ancestors()).take_while(|at| at != path) {
                if rows.metadata(&at)?.is_some() {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let view = self.store.view()?;
        let mut query = RangeQuery {
            namespace: Namespace::Data,
            start: Bytes::new(),
            end: Bytes::new(),
            prefix: Bytes::from(format!("{path}/")),
            delimiter: None,
            limit: 1,
            order: Order::Ascending,
            after: None,
        };
        for _ in 0..COVERED_PAGES_MAX {
            let page = range::page_of(&view, &query, now_ms, &mut |key, record| {
                Ok(record.owner != Principal::nobody() && record.owner != own && is_covered(key)?)
            })?;
            if !page.rows.is_empty() || page.next.is_none() {
                return Ok(!page.rows.is_empty());
            }
            query.after = page.next;
        }
        Ok(true)
    }

    /// Refuses a visitor whose token was revoked since the request began. To be asked after its body was read, where
    /// nothing else here is that asks.
    ///
    /// # Errors
    ///
    /// It was.
    pub(crate) fn expect_good(&self, visitor: &Visitor) -> Result<(), Problem> {
        match (self.guard.accounts(), visitor.identity.bearer()) {
            (Some(accounts), Some(bearer)) => accounts.expect_good(bearer),
            _ => Ok(()),
        }
    }

    /// Allows a write to the data namespace as far as the scope goes; the commit decides about the key.
    ///
    /// # Errors
    ///
    /// The scope is missing, or the token was revoked meanwhile.
    pub(crate) fn allow(
        &self,
        visitor: &Visitor,
        path: Path,
        change: Change,
        precondition: Precondition,
    ) -> Result<Authorized<Write>, Problem> {
        let action = if matches!(change, Change::Delete) { Action::Delete } else { Action::Write };
        let write = (Namespace::Data, path, change, precondition);
        self.allow_in(visitor, action, Otherwise::Refuse, write)
    }

    /// The same for any namespace and action, and with a say in what happens to a key that is not allowed.
    ///
    /// # Errors
    ///
    /// The scope is missing, or the token was revoked meanwhile.
    pub(crate) fn allow_in(
        &self,
        visitor: &Visitor,
        action: Action,
        otherwise: Otherwise,
        (namespace, path, change, precondition): (Namespace, Path, Change, Precondition),
    ) -> Result<Authorized<Write>, Problem> {
        self.expect_good(visitor)?;
        let caller = visitor.identity.caller();
        let warrant = (!matches!(caller, Caller::Everybody)).then(|| {
            let identity = visitor.identity.clone();
            let presence = Arc::clone(&self.presence);
            Arc::new(ClientWarrant { identity, action, otherwise, presence }) as _
        });
        let write = Write { namespace, path, change, precondition, asker: visitor.asker(warrant) };
        authorize_scope(&caller, action, Sealed::new(write)).map_err(refused)
    }

    /// Commits what was allowed: all of it or nothing. Returns once it is durable, one outcome for each.
    ///
    /// # Errors
    ///
    /// The store's; nothing was written, except after [`StoreError::Poisoned`], where nobody knows.
    pub(crate) async fn commit(&self, writes: Vec<Authorized<Write>>) -> Result<Vec<Outcome>, StoreError> {
        writer::commit(&self.store, writes.into_iter().map(Authorized::into_inner).collect()).await
    }

    /// Commits records of accounts on behalf of a visitor; its handler has decided that it may.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(crate) async fn commit_accounts(
        &self,
        visitor: &Visitor,
        changes: Vec<(Path, Change, Precondition)>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let write = |(path, change, precondition)| Write {
            namespace: Namespace::Auth,
            path,
            change,
            precondition,
            asker: visitor.asker(None),
        };
        writer::commit(&self.store, changes.into_iter().map(write).collect()).await
    }

    /// A record of the accounts.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn account(&self, path: &Path) -> Result<Option<Record>, StoreError> {
        self.store.read(Namespace::Auth, path)
    }

    /// The store itself, for an administrator.
    ///
    /// # Errors
    ///
    /// The caller is none.
    pub(crate) fn whole(&self, caller: &Caller<'_>) -> Result<&Arc<Store>, Problem> {
        authorize_admin(caller, Sealed::new(&self.store)).map(Authorized::into_inner).map_err(refused)
    }

    /// The store itself, for the node's own work; no handler of a request asks for it.
    pub(crate) const fn own(&self) -> &Arc<Store> {
        &self.store
    }

    /// Prepares JSON bytes for a write.
    pub(crate) fn prepare(&self, json: Bytes) -> Content {
        self.store.prepare(json)
    }

    /// The JSON bytes of a record that was allowed.
    ///
    /// # Errors
    ///
    /// They are damaged.
    pub(crate) fn json(&self, record: &Record) -> Result<Bytes, StoreError> {
        self.store.json(record)
    }

    /// All tables as of the last commit, for [`Vault::page`].
    ///
    /// # Errors
    ///
    /// The store is closed.
    pub(crate) fn view(&self) -> Result<View, StoreError> {
        self.store.view()
    }

    /// Whether the store takes writes.
    pub(crate) fn state(&self) -> State {
        self.store.state()
    }

    /// The store in numbers.
    pub(crate) fn status(&self) -> Status {
        self.store.status()
    }

    /// Records that wait for their time.
    pub(crate) fn parked(&self) -> u64 {
        self.store.standing().parked
    }

    /// Who this node is.
    pub(crate) fn identity(&self) -> NodeIdentity {
        self.store.identity()
    }

    /// What governs a path with this record; `None` where rights are not asked for.
    fn rights(
        &self,
        path: &Path,
        record: Option<&Record>,
        now_ms: u64,
    ) -> Result<Option<Rights>, StoreError> {
        match *self.guard {
            Guard::Off => Ok(None),
            Guard::On(_) => self.rights_anyway(path, record, now_ms).map(Some),
        }
    }

    fn rights_anyway(&self, path: &Path, record: Option<&Record>, now_ms: u64) -> Result<Rights, StoreError> {
        let read = |namespace, path: &Path| self.store.read(namespace, path);
        let mut rows = Rows { read, presence: &self.presence, now_ms };
        let nobody = Principal::nobody();
        rights_of(path, record.map_or(&nobody, |record| &record.owner), &mut rows)
    }
}

/// A refusal as it is answered.
pub(crate) fn refused(denied: Denied) -> Problem {
    Problem::refused(refusal_of(denied))
}

/// A key that is read; without rights, nobody asks for them.
fn resource_of<'a>(path: &'a [u8], rights: Option<&'a Rights>) -> Resource<'a> {
    Resource { path, state: KeyState::Live, rights: rights.unwrap_or(&Rights::Open), above: None }
}

/// Opens a cached answer.
fn open_cached(caller: &Caller<'_>, path: DecodedText<'_>, answer: Answer) -> Result<Answer, Denied> {
    // An answer without rights was framed for everybody, and nobody else gets it.
    if answer.rights().is_none() && !matches!(caller, Caller::Everybody) {
        return Err(Denied::Hidden);
    }
    let resource = resource_of(path.as_bytes(), answer.rights().map(|rights| &**rights));
    decide(caller, Action::Read, &resource)?;
    Ok(answer)
}
