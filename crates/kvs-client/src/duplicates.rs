//! Which keys an import has met already, in bounded memory.
//!
//! A key is remembered as 128 bits of its BLAKE3 hash: two different keys with one hash are not found by chance nor on
//! purpose, so a key is never taken for a repetition of another one. Beyond [`KEYS_REMEMBERED_MAX`] keys new ones are no
//! longer remembered and the answer becomes [`Meeting::Unknown`]; repetitions of remembered ones are still found.

use std::collections::{HashMap, HashSet};

use kvs_core::path::Path;

use crate::limits::KEYS_REMEMBERED_MAX;

/// Whether a key came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// It is the first line with this key.
    First,
    /// An earlier line had this key.
    Repeated,
    /// The memory is full: it may be either.
    Unknown,
}

/// The keys met so far.
#[derive(Debug)]
pub(crate) struct Keys {
    met: HashSet<u128>,
    /// For keys that were numbered: the last number given out.
    numbers: HashMap<u128, u64>,
    keys_max: usize,
}

impl Keys {
    /// Remembers up to [`KEYS_REMEMBERED_MAX`] keys.
    pub(crate) fn new() -> Self {
        Self::with_bound(KEYS_REMEMBERED_MAX)
    }

    fn with_bound(keys_max: usize) -> Self {
        Self { met: HashSet::new(), numbers: HashMap::new(), keys_max }
    }

    /// Looks `path` up and remembers it.
    pub(crate) fn meet(&mut self, path: &Path) -> Meeting {
        let hash = hash(path);
        if self.met.contains(&hash) {
            Meeting::Repeated
        } else if self.met.len() >= self.keys_max {
            Meeting::Unknown
        } else {
            self.met.insert(hash);
            Meeting::First
        }
    }

    /// Gives a repeated key a name of its own: `path~2`, `path~3` and so on, the first that no line had before, and
    /// remembers it.
    ///
    /// # Errors
    ///
    /// Why no name could be found: it would not be a path, or the memory is full.
    pub(crate) fn number(&mut self, path: &Path) -> Result<Path, NumberError> {
        let hash = hash(path);
        let mut number = self.numbers.get(&hash).copied().unwrap_or(1);
        loop {
            number += 1;
            let numbered = Path::parse(&format!("{path}~{number}")).map_err(NumberError::NoPath)?;
            match self.meet(&numbered) {
                Meeting::First => {
                    self.numbers.insert(hash, number);
                    return Ok(numbered);
                }
                Meeting::Repeated => {}
                Meeting::Unknown => return Err(NumberError::MemoryFull),
            }
        }
    }
}

/// Why a repeated key could not be numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberError {
    /// The key with its number is too long to be a path.
    NoPath(kvs_core::path::PathError),
    /// No more keys can be remembered.
    MemoryFull,
}

/// 128 bits that stand for a key.
fn hash(path: &Path) -> u128 {
    let hash = blake3::hash(path.as_bytes());
    hash.as_bytes().first_chunk::<16>().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::{Keys, Meeting, NumberError};
    use kvs_core::path::Path;

    fn path(text: &str) -> Path {
        Path::parse(text).expect("a path")
    }

    #[test]
    fn a_key_is_new_once() {
        let mut keys = Keys::new();
        assert_eq!(keys.meet(&path("a")), Meeting::First);
        assert_eq!(keys.meet(&path("b")), Meeting::First);
        assert_eq!(keys.meet(&path("a")), Meeting::Repeated);
    }

    #[test]
    fn numbers_go_up_and_pass_over_keys_that_exist_under_that_name() {
        let mut keys = Keys::new();
        keys.meet(&path("a"));
        keys.meet(&path("a~3"));
        assert_eq!(keys.number(&path("a")), Ok(path("a~2")));
        assert_eq!(keys.number(&path("a")), Ok(path("a~4")));
        assert_eq!(keys.meet(&path("a~2")), Meeting::Repeated);
        assert_eq!(keys.number(&path("a~2")), Ok(path("a~2~2")));
    }

    #[test]
    fn a_number_that_makes_the_key_too_long_is_refused() {
        let mut keys = Keys::new();
        assert!(matches!(keys.number(&path(&"x".repeat(1024))), Err(NumberError::NoPath(_))));
    }

    #[test]
    fn beyond_the_bound_known_keys_are_still_found_and_new_ones_are_unknown() {
        let mut keys = Keys::with_bound(2);
        keys.meet(&path("a"));
        keys.meet(&path("b"));
        assert_eq!(keys.meet(&path("c")), Meeting::Unknown);
        assert_eq!(keys.meet(&path("c")), Meeting::Unknown);
        assert_eq!(keys.meet(&path("b")), Meeting::Repeated);
        assert_eq!(keys.number(&path("b")), Err(NumberError::MemoryFull));
    }
}
