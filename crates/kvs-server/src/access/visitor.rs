//! A request's visitor: who asks, in which request.

use std::sync::Arc;

use kvs_store::commit::asker::{Asker, Warrant};

use crate::access::identity::Identity;
use crate::request_id::RequestId;

/// Whether what visitors do is written into the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recording {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// Who asks, in which request.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Who asks.
    pub(crate) identity: Identity,
    /// The request.
    pub(crate) request: RequestId,
    /// Whether it is written down.
    pub(crate) recording: Recording,
}

impl Visitor {
    /// The asker of a write, with what must allow it at the commit.
    pub(crate) fn asker(&self, warrant: Option<Arc<dyn Warrant>>) -> Asker {
        let request = (self.recording == Recording::On).then(|| Arc::from(self.request.to_string()));
        Asker { name: self.identity.caller().principal(), warrant, request }
    }
}
