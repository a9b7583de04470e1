//! Who asks: what is known of a caller once its token was verified.

use kvs_core::record::Principal;
use uuid::Uuid;

use crate::scopes::{Scope, Scopes};
use crate::subtrees::Subtrees;

/// The name of the built-in administrator, which exists on every node without an account.
pub const ROOT: &str = "root";

/// What callers without a token may do, from the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnonymousRights {
    /// `allow_anonymous_read`.
    pub may_read: bool,
    /// `allow_anonymous_write`.
    pub may_write: bool,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller<'a> {
    /// Rights are not asked for (`auth_enabled: false`): everybody may do everything.
    Everybody,
    /// No token.
    Anonymous(AnonymousRights),
    /// A verified token.
    Bearer(&'a Bearer),
}

/// What a verified token says, with what the accounts say of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The user's uuid as text, or [`ROOT`].
    pub user: Principal,
    /// The uuids of the groups that the user is a member of, as text.
    pub groups: Vec<Principal>,
    /// What the token may do at all.
    pub scopes: Scopes,
    /// Where; `None` for everywhere.
    pub paths: Option<Subtrees>,
    /// The token's number.
    pub jti: Uuid,
    /// When it was issued, in seconds since 1970.
    pub issued_at_s: u64,
    /// When it ends, in seconds since 1970.
    pub expires_at_s: u64,
}

impl Bearer {
    /// Whether it is an administrator's, within its paths.
    #[must_use]
    pub const fn is_admin(&self) -> bool {
        self.scopes.allow(Scope::Admin)
    }

    /// Whether a path lies in the token's part of the tree.
    #[must_use]
    pub fn reaches(&self, path: &[u8]) -> bool {
        self.paths.as_ref().is_none_or(|paths| paths.cover(path))
    }
}

impl Caller<'_> {
    /// Whether it may use the routes of administrators: the scope, and no limit to subtrees.
    #[must_use]
    pub const fn is_admin_everywhere(&self) -> bool {
        match self {
            Self::Everybody => true,
            Self::Anonymous(_) => false,
            Self::Bearer(bearer) => bearer.is_admin() && bearer.paths.is_none(),
        }
    }

    /// The author of what it writes.
    #[must_use]
    pub fn principal(&self) -> Principal {
        match self {
            Self::Everybody | Self::Anonymous(_) => Principal::nobody(),
            Self::Bearer(bearer) => bearer.user.clone(),
        }
    }
}
