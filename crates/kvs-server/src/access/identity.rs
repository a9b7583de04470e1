//! Who asks, as long as the request lasts.

use std::sync::Arc;

use kvs_auth::caller::{AnonymousRights, Bearer, Caller};

/// Who asks. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Rights are not asked for.
    Everybody,
    /// No token was sent.
    Anonymous(AnonymousRights),
    /// A token that was verified.
    Bearer(Arc<Bearer>),
}

impl Identity {
    /// The caller, as the decision knows it.
    pub(crate) fn caller(&self) -> Caller<'_> {
        match self {
            Self::Everybody => Caller::Everybody,
            Self::Anonymous(rights) => Caller::Anonymous(*rights),
            Self::Bearer(bearer) => Caller::Bearer(bearer),
        }
    }

    /// The token that was verified.
    pub(crate) fn bearer(&self) -> Option<&Arc<Bearer>> {
        match self {
            Self::Bearer(bearer) => Some(bearer),
            Self::Everybody | Self::Anonymous(_) => None,
        }
    }
}
