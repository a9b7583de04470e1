//! The namespaces of the one replicated map.
//!
//! A key is a namespace and a path. Metadata, accounts and cluster settings travel by the same machinery as data, in
//! namespaces of their own, so that no data path can ever name them.

/// The namespace of a key; its number is the first byte of every stored key.
///
/// Numbers are part of the disk and wire format and are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Namespace {
    /// What users store.
    Data = 1,
    /// Owner, group and mode of a path.
    Meta = 2,
    /// Users, groups and revocations.
    Auth = 3,
    /// What the cluster agrees on about itself.
    Cluster = 4,
}

impl Namespace {
    /// The stored number, 1..=4.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The word that users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Meta => "meta",
            Self::Auth => "auth",
            Self::Cluster => "cluster",
        }
    }

    /// The namespace with this number; `None` for a number that no version of the format uses.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Data),
            2 => Some(Self::Meta),
            3 => Some(Self::Auth),
            4 => Some(Self::Cluster),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Namespace;

    #[test]
    fn every_number_names_at_most_one_namespace() {
        for number in 0..=u8::MAX {
            if let Some(namespace) = Namespace::from_number(number) {
                assert_eq!(namespace.number(), number);
            }
        }
        assert_eq!(Namespace::from_number(0), None);
        assert_eq!(Namespace::from_number(5), None);
    }
}
