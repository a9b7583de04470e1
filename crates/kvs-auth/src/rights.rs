//! What governs a key: its owner, group and mode, found from its own metadata, from above, or from whoever made it.
//!
//! | what there is | owner | group, mode |
//! | --- | --- | --- |
//! | metadata of the key itself | the metadata's | the metadata's |
//! | metadata of an ancestor, the nearest counts | whoever made the key, else the metadata's | the metadata's |
//! | neither, but somebody made the key | whoever made it | none, `cdwr\|---r\|---r` |
//! | nothing | nobody: open to all who hold the scope | |
//!
//! A key that was deleted or has expired is still its owner's; so is its metadata. That is what keeps others from taking
//! a key over by deleting it and making it again.

use kvs_core::path::Path;
use kvs_core::record::Principal;

use crate::mode::Mode;

/// Who may do what with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// Nobody owns it: whoever holds the scope.
    Open,
    /// By class.
    Governed(Metadata),
}

/// Owner, group and mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// A user's uuid as text, or `root`; never empty.
    pub owner: Principal,
    /// A group's uuid as text; empty for none.
    pub group: Principal,
    /// The rights of the classes.
    pub mode: Mode,
}

/// What is stored, as far as rights depend on it. Each answer is of one moment or of one commit.
pub trait Lookup {
    /// Why it cannot be read.
    type Error;

    /// The metadata of exactly this path.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>, Self::Error>;

    /// The owner of the live value of exactly this path, nobody included; `None` when it has no live value.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn live_owner(&mut self, path: &Path) -> Result<Option<Principal>, Self::Error>;
}

/// What governs `path`, where `maker` is the owner that its record remembers, nobody if it has none.
///
/// # Errors
///
/// The lookup's.
pub fn rights_of<L: Lookup>(path: &Path, maker: &Principal, lookup: &mut L) -> Result<Rights, L::Error> {
    if let Some(own) = lookup.metadata(path)? {
        return Ok(Rights::Governed(own));
    }
    let is_made = !maker.as_str().is_empty();
    for ancestor in path.ancestors() {
        if let Some(inherited) = lookup.metadata(&ancestor)? {
            let owner = if is_made { maker.clone() } else { inherited.owner.clone() };
            return Ok(Rights::Governed(Metadata { owner, ..inherited }));
        }
    }
    Ok(if is_made {
        Rights::Governed(Metadata { owner: maker.clone(), group: Principal::nobody(), mode: Mode::DEFAULT })
    } else {
        Rights::Open
    })
}

/// What governs the nearest ancestor that has a value or metadata, which is who decides about new keys; `None` when no
/// ancestor has either.
///
/// # Errors
///
/// The lookup's.
pub fn rights_above<L: Lookup>(path: &Path, lookup: &mut L) -> Result<Option<Rights>, L::Error> {
    for ancestor in path.ancestors() {
        let maker = lookup.live_owner(&ancestor)?;
        if maker.is_some() || lookup.metadata(&ancestor)?.is_some() {
            return rights_of(&ancestor, &maker.unwrap_or_default(), lookup).map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::{Lookup, Metadata, Rights, rights_above, rights_of};
    use crate::mode::Mode;
    use kvs_core::path::Path;
    use kvs_core::record::Principal;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    #[derive(Default)]
    struct Stored {
        metadata: BTreeMap<Path, Metadata>,
        values: BTreeMap<Path, Principal>,
    }

    impl Lookup for Stored {
        type Error = Infallible;

        fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>, Infallible> {
            Ok(self.metadata.get(path).cloned())
        }

        fn live_owner(&mut self, path: &Path) -> Result<Option<Principal>, Infallible> {
            Ok(self.values.get(path).cloned())
        }
    }

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn named(name: &str) -> Principal {
        Principal::named(name).unwrap()
    }

    fn governed(owner: &str, group: &str, mode: u16) -> Metadata {
        Metadata { owner: named(owner), group: named(group), mode: Mode::from_bits(mode).unwrap() }
    }

    #[test]
    fn the_nearest_metadata_governs_and_the_maker_stays_the_owner() {
        let mut stored = Stored::default();
        stored.metadata.insert(path("home"), governed("ann", "family", 7));
        stored.metadata.insert(path("home/a/b"), governed("bob", "", 9));
        let mut rights = |text, maker: &str| rights_of(&path(text), &named(maker), &mut stored).unwrap();
        assert_eq!(rights("home/a", ""), Rights::Governed(governed("ann", "family", 7)));
        assert_eq!(rights("home/a", "eve"), Rights::Governed(governed("eve", "family", 7)));
        assert_eq!(rights("home/a/b", "eve"), Rights::Governed(governed("bob", "", 9)));
        assert_eq!(rights("home/a/b/c/d", ""), Rights::Governed(governed("bob", "", 9)));
        assert_eq!(rights("homes/a", "eve"), Rights::Governed(governed("eve", "", 3857)));
        assert_eq!(rights("homes/a", ""), Rights::Open);
    }

    #[test]
    fn above_counts_the_nearest_with_a_value_or_metadata() {
        let mut stored = Stored::default();
        stored.metadata.insert(path("a"), governed("ann", "", 7));
        stored.values.insert(path("a/b/c"), named("bob"));
        stored.values.insert(path("open"), Principal::nobody());
        let mut above = |text| rights_above(&path(text), &mut stored).unwrap();
        assert_eq!(above("a/b/c/d/e"), Some(Rights::Governed(governed("bob", "", 7))));
        assert_eq!(above("a/b/c"), Some(Rights::Governed(governed("ann", "", 7))));
        assert_eq!(above("open/x"), Some(Rights::Open));
        assert_eq!(above("a"), None);
        assert_eq!(above("b/c"), None);
    }
}
