//! Scopes: what a token may do at all, before any key's mode is looked at.

use std::fmt;

/// One thing that a token may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Scope {
    /// Read values, listings and histories.
    Read = 1,
    /// Create and overwrite.
    Write = 2,
    /// Delete.
    Delete = 4,
    /// Everything, whatever the modes say, and the routes of administrators.
    Admin = 8,
}

impl Scope {
    /// All of them, in the order in which they are named.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Delete, Self::Admin];

    /// The word in requests and tokens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Admin => "admin",
        }
    }

    /// The scope of this word; exact, as they are written.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// No scope.
    pub const NONE: Self = Self(0);

    /// This set and one more.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope as u8)
    }

    /// Whether it allows this; `admin` allows everything.
    #[must_use]
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & (scope as u8 | Scope::Admin as u8) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether everything in it is allowed by `other`.
    #[must_use]
    pub fn are_within(self, other: Self) -> bool {
        self.iter().all(|scope| other.allow(scope))
    }

    /// The scopes, in the order in which they are named.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & *scope as u8 != 0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        scopes.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter().map(Scope::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Scope, Scopes};

    fn set(scopes: &[Scope]) -> Scopes {
        scopes.iter().copied().collect()
    }

    #[test]
    fn admin_allows_everything_and_nothing_else_does() {
        for scope in Scope::ALL {
            assert!(set(&[Scope::Admin]).allow(scope));
            assert!(!Scopes::NONE.allow(scope));
        }
        let all_but_admin = set(&[Scope::Read, Scope::Write, Scope::Delete]);
        assert!(!all_but_admin.allow(Scope::Admin));
        assert!(!set(&[Scope::Admin]).are_within(all_but_admin));
        assert!(all_but_admin.are_within(set(&[Scope::Admin])));
        assert!(!all_but_admin.are_within(set(&[Scope::Read, Scope::Write])));
    }

    #[test]
    fn words_are_exact() {
        for scope in Scope::ALL {
            assert_eq!(Scope::named(scope.name()), Some(scope));
        }
        for word in ["", "Read", "read ", "root", "*"] {
            assert_eq!(Scope::named(word), None);
        }
    }
}
