//! The one decision: may this caller do this to this key?
//!
//! It is pure, so a test can hold it against an independent model for every mode, caller, action and state. What a
//! handler gets out of the store is sealed; only [`authorize`] opens it. Rights are decided in this order: the scope, the
//! part of the tree that the token reaches, the administrator, the mode.
//!
//! What a refusal tells: a caller who may not read a key learns nothing about whether it is there.

use crate::caller::Caller;
use crate::mode::{Class, Right};
use crate::rights::{Metadata, Rights};
use crate::scopes::Scope;

/// What is to be done to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Read its value, history or metadata, or list it.
    Read,
    /// Store a value, new or over another.
    Write,
    /// Delete it.
    Delete,
    /// Set its metadata; its owner only where that stays who it is.
    Govern,
    /// Set its metadata and who owns it.
    GiveAway,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Delete, Self::Govern, Self::GiveAway];

    /// The scope that it needs.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            Self::Read => Scope::Read,
            Self::Write | Self::Govern => Scope::Write,
            Self::Delete => Scope::Delete,
            Self::GiveAway => Scope::Admin,
        }
    }
}

/// What there is of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A value that readers see.
    Live,
    /// No value; it was deleted or has expired and its owner is remembered, or it has metadata of its own.
    Remembered,
    /// Nothing.
    Unknown,
}

/// A key, as far as rights depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Its path, decoded.
    pub path: &'a [u8],
    /// What there is.
    pub state: State,
    /// What governs it.
    pub rights: &'a Rights,
    /// What governs the nearest ancestor with a value or metadata. Looked at only where a key is to be created.
    pub above: Option<&'a Rights>,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Denied {
    /// Without a token nobody may: 401.
    Unauthorized,
    /// The caller is known and may not: 403.
    Forbidden,
    /// The caller may not, and may not know whether the key is there either: as if it were not, 404.
    Hidden,
}

/// Something that the decision has allowed. Only [`authorize`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorized<T>(T);

impl<T> Authorized<T> {
    /// What was allowed.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// Something that is kept closed until the decision was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed<T>(T);

impl<T> Sealed<T> {
    /// Closes it.
    pub const fn new(content: T) -> Self {
        Self(content)
    }
}

/// Opens what is sealed, if this caller may do this to this key.
///
/// # Errors
///
/// Why not; the content is dropped.
pub fn authorize<T>(
    caller: &Caller<'_>,
    action: Action,
    resource: &Resource<'_>,
    request: Sealed<T>,
) -> Result<Authorized<T>, Denied> {
    decide(caller, action, resource).map(|()| Authorized(request.0))
}

/// Opens what only an administrator of the whole node may do.
///
/// # Errors
///
/// [`Denied::Unauthorized`], [`Denied::Forbidden`].
pub fn authorize_admin<T>(caller: &Caller<'_>, request: Sealed<T>) -> Result<Authorized<T>, Denied> {
    match caller {
        Caller::Anonymous(_) => Err(Denied::Unauthorized),
        caller if caller.is_admin_everywhere() => Ok(Authorized(request.0)),
        _ => Err(Denied::Forbidden),
    }
}

/// Opens what its scope allows and whose key is decided later, with the version that it is about.
///
/// # Errors
///
/// [`Denied::Unauthorized`], [`Denied::Forbidden`].
pub fn authorize_scope<T>(
    caller: &Caller<'_>,
    action: Action,
    request: Sealed<T>,
) -> Result<Authorized<T>, Denied> {
    decide_scope(caller, action).map(|()| Authorized(request.0))
}

/// Whether the caller may ever do this, whatever the key: its scope.
///
/// # Errors
///
/// [`Denied::Unauthorized`], [`Denied::Forbidden`].
pub fn decide_scope(caller: &Caller<'_>, action: Action) -> Result<(), Denied> {
    let is_allowed = match caller {
        Caller::Everybody => true,
        Caller::Bearer(bearer) => bearer.scopes.allow(action.scope()),
        Caller::Anonymous(rights) => match action {
            Action::Read => rights.may_read,
            Action::Write => rights.may_write,
            Action::Delete | Action::Govern | Action::GiveAway => false,
        },
    };
    if is_allowed { Ok(()) } else { Err(refusal(caller)) }
}

/// The decision.
///
/// # Errors
///
/// Why not.
pub fn decide(caller: &Caller<'_>, action: Action, resource: &Resource<'_>) -> Result<(), Denied> {
    decide_scope(caller, action)?;
    let is_granted = match caller {
        Caller::Everybody => true,
        Caller::Bearer(bearer) if !bearer.reaches(resource.path) => false,
        Caller::Bearer(bearer) if bearer.is_admin() => true,
        Caller::Bearer(_) | Caller::Anonymous(_) => is_granted(caller, action, resource),
    };
    if is_granted {
        return Ok(());
    }
    Err(match action {
        Action::Read => Denied::Hidden,
        Action::Delete if decide(caller, Action::Read, resource).is_err() => Denied::Hidden,
        Action::Delete | Action::Write | Action::Govern | Action::GiveAway => refusal(caller),
    })
}

const fn refusal(caller: &Caller<'_>) -> Denied {
    match caller {
        Caller::Anonymous(_) => Denied::Unauthorized,
        Caller::Everybody | Caller::Bearer(_) => Denied::Forbidden,
    }
}

/// What the modes say.
fn is_granted(caller: &Caller<'_>, action: Action, resource: &Resource<'_>) -> bool {
    match (action, resource.state) {
        (Action::Read, _) => grants(caller, resource.rights, Right::Read),
        (Action::Write, State::Live) => grants(caller, resource.rights, Right::Write),
        (Action::Write, State::Remembered) => {
            grants(caller, resource.rights, Right::Create) && may_create_below(caller, resource)
        }
        (Action::Write, State::Unknown) => may_create_below(caller, resource),
        (Action::Delete, State::Live) => grants(caller, resource.rights, Right::Delete),
        // There is nothing to delete, which whoever may read the key learns, and anybody else is told as well.
        (Action::Delete, State::Remembered | State::Unknown) => true,
        (Action::Govern, _) => match resource.rights {
            Rights::Open => false,
            Rights::Governed(metadata) => class_of(caller, metadata) == Class::Owner,
        },
        (Action::GiveAway, _) => false,
    }
}

fn may_create_below(caller: &Caller<'_>, resource: &Resource<'_>) -> bool {
    resource.above.is_none_or(|above| grants(caller, above, Right::Create))
}

fn grants(caller: &Caller<'_>, rights: &Rights, right: Right) -> bool {
    match rights {
        Rights::Open => true,
        Rights::Governed(metadata) => metadata.mode.grants(class_of(caller, metadata), right),
    }
}

/// Which class a caller belongs to; the owner is of no other, whatever groups it is in.
fn class_of(caller: &Caller<'_>, metadata: &Metadata) -> Class {
    let Metadata { owner, group, .. } = metadata;
    let Caller::Bearer(bearer) = caller else { return Class::Others };
    if bearer.user == *owner {
        Class::Owner
    } else if !group.as_str().is_empty() && bearer.groups.contains(group) {
        Class::Group
    } else {
        Class::Others
    }
}
