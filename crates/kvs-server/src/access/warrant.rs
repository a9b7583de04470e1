//! The warrant of a client's write: the decision, asked again inside the commit.

use std::sync::Arc;

use kvs_auth::decision::{Action, Denied, Resource, State, decide};
use kvs_auth::rights::{Lookup, rights_above, rights_of};
use kvs_core::namespace::Namespace;
use kvs_core::record::Principal;
use kvs_store::commit::asker::{Intent, Judgement, Refusal, Sight, Warrant};
use kvs_store::error::StoreError;

use crate::access::identity::Identity;
use crate::access::lookup::Rows;
use crate::access::presence::Presence;

/// What becomes of a transaction with a write that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// It is refused.
    Refuse,
    /// The key is passed over.
    PassOver,
}

/// The warrant of one write.
#[derive(Debug)]
pub(crate) struct ClientWarrant {
    /// Who asks.
    pub(crate) identity: Identity,
    /// What for.
    pub(crate) action: Action,
    /// And if it is not allowed.
    pub(crate) otherwise: Otherwise,
    /// Which paths may have metadata.
    pub(crate) presence: Arc<Presence>,
}

impl Warrant for ClientWarrant {
    fn judge(&self, intent: &Intent<'_>, sight: &dyn Sight) -> Result<Judgement, StoreError> {
        let path = &intent.key.path;
        let mut rows = Rows {
            read: |namespace, path: &_| sight.record(namespace, path),
            presence: &self.presence,
            now_ms: intent.now_ms,
        };
        // Metadata is decided by what is under the path; a value by its own record, which is at hand.
        let value = match intent.key.namespace {
            Namespace::Meta => sight.record(Namespace::Data, path)?,
            _ => intent.current.cloned(),
        };
        let maker = value.as_ref().map_or_else(Principal::nobody, |record| record.owner.clone());
        let is_live = value.as_ref().is_some_and(|record| record.is_live(intent.now_ms));
        let rights = rights_of(path, &maker, &mut rows)?;
        let state = if is_live {
            State::Live
        } else if !maker.as_str().is_empty() || rows.metadata(path)?.is_some() {
            State::Remembered
        } else {
            State::Unknown
        };
        let is_creation = self.action == Action::Write && state != State::Live;
        let above = if is_creation { rights_above(path, &mut rows)? } else { None };
        let resource = Resource { path: path.as_bytes(), state, rights: &rights, above: above.as_ref() };
        Ok(match (decide(&self.identity.caller(), self.action, &resource), self.otherwise) {
            (Ok(()), _) => Judgement::Allowed,
            // Like a key that is not there.
            (Err(Denied::Hidden), _) | (Err(_), Otherwise::PassOver) => Judgement::PassedOver,
            (Err(denied), Otherwise::Refuse) => Judgement::Refused(refusal_of(denied)),
        })
    }
}

/// The store's word for a refusal.
pub(crate) const fn refusal_of(denied: Denied) -> Refusal {
    match denied {
        Denied::Unauthorized => Refusal::Unauthorized,
        Denied::Forbidden => Refusal::Forbidden,
        Denied::Hidden => Refusal::Hidden,
    }
}
