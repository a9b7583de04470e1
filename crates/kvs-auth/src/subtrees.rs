//! The subtrees that a token is limited to.

use kvs_core::path::Path;

/// Most subtrees of one token.
pub const SUBTREES_MAX: usize = 32;

/// A list of subtrees, 1..=[`SUBTREES_MAX`]; each is its root and everything below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtrees(Vec<Path>);

impl Subtrees {
    /// The subtrees under these roots; `None` for no root or too many.
    #[must_use]
    pub fn new(roots: Vec<Path>) -> Option<Self> {
        (1..=SUBTREES_MAX).contains(&roots.len()).then_some(Self(roots))
    }

    /// The roots.
    #[must_use]
    pub fn roots(&self) -> &[Path] {
        &self.0
    }

    /// Whether a path lies in one of them.
    #[must_use]
    pub fn cover(&self, path: &[u8]) -> bool {
        self.0.iter().any(|root| match path.strip_prefix(root.as_bytes()) {
            Some(rest) => rest.is_empty() || rest.starts_with(b"/"),
            None => false,
        })
    }

    /// Whether each of them lies in one of `other`.
    #[must_use]
    pub fn are_within(&self, other: &Self) -> bool {
        self.0.iter().all(|root| other.cover(root.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::{SUBTREES_MAX, Subtrees};
    use kvs_core::path::Path;

    fn subtrees(roots: &[&str]) -> Subtrees {
        Subtrees::new(roots.iter().map(|root| Path::parse(root).unwrap()).collect()).unwrap()
    }

    #[test]
    fn a_subtree_is_its_root_and_what_lies_below() {
        let home = subtrees(&["home/ann", "pub"]);
        for path in ["home/ann", "home/ann/x", "pub/a/b"] {
            assert!(home.cover(path.as_bytes()), "{path}");
        }
        for path in ["home", "home/anna", "home/an", "public", "x/home/ann", ""] {
            assert!(!home.cover(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn narrower_is_within_and_wider_is_not() {
        assert!(subtrees(&["home/ann/x", "pub"]).are_within(&subtrees(&["home/ann", "pub"])));
        assert!(!subtrees(&["home"]).are_within(&subtrees(&["home/ann"])));
    }

    #[test]
    fn there_is_at_least_one_and_a_bound() {
        let root = Path::parse("a").unwrap();
        assert!(Subtrees::new(Vec::new()).is_none());
        assert!(Subtrees::new(vec![root.clone(); SUBTREES_MAX]).is_some());
        assert!(Subtrees::new(vec![root; SUBTREES_MAX + 1]).is_none());
    }
}
