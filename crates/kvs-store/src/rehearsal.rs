//! A conflict to rehearse: two data directories that hold different values for one key, written in the same millisecond.
//!
//! In a running cluster this takes two clients and luck. Here two stores get clocks that stand still; all else is what
//! happens to any node: an identity, a write, a commit. The first directory's node joined before the write, the second
//! one's has not been admitted to any cluster yet, so its version is the youngest there is and loses the tie.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_core::precondition::Precondition;
use uuid::Uuid;

use crate::clock::Clock;
use crate::commit::asker::Asker;
use crate::commit::write::{Change, Outcome, Write, Written};
use crate::data_dir::{DataDir, Expect};
use crate::error::StoreError;
use crate::medium::DiskMedium;
use crate::observer::{Key, Silent};
use crate::settings::{FirstJoined, Settings};
use crate::store::{Store, disk_options, system_random};

/// One of the two directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// The node that the directory belongs to.
    pub node: Uuid,
    /// What it wrote.
    pub written: Written,
}

/// A clock that stands still, so that both sides write at one moment.
struct Stopped {
    at_ms: u64,
}

impl Clock for Stopped {
    fn now_ms(&self) -> u64 {
        self.at_ms
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Makes two data directories, each with its own value (JSON) for `key`, both written at `at_ms`. The first one wins
/// when the nodes meet.
///
/// # Errors
///
/// [`StoreError::Format`] when one of them holds anything or both are one: neither was touched. Any other error may leave
/// one or both of them begun, to be deleted.
pub fn prepare(
    dirs: [&FilePath; 2],
    key: &Key,
    values: [Bytes; 2],
    at_ms: u64,
) -> Result<[Side; 2], StoreError> {
    let [older, younger] = dirs;
    if older == younger {
        let reason = "the two data directories must be different ones".into();
        return Err(StoreError::Format { dir: younger.to_owned(), reason });
    }
    DataDir::check_new(older)?;
    DataDir::check_new(younger)?;
    let [of_older, of_younger] = values;
    Ok([
        write(older, FirstJoined::Now, key, of_older, at_ms)?,
        write(younger, FirstJoined::Youngest, key, of_younger, at_ms)?,
    ])
}

fn write(
    dir: &FilePath,
    first_joined: FirstJoined,
    key: &Key,
    json: Bytes,
    at_ms: u64,
) -> Result<Side, StoreError> {
    let data_dir = DataDir::open(dir, Expect::New)?;
    let settings = Settings { first_joined, ..Settings::default() };
    let medium = DiskMedium { dir: data_dir.engine_dir(), options: disk_options(&settings) };
    let mut seed = [0; 32];
    system_random(&mut seed)?;
    let clock = Arc::new(Stopped { at_ms });
    let store = Store::open_on(Box::new(medium), settings, clock, Arc::new(Silent), seed, Some(data_dir))?;
    let content = store.prepare(json);
    let put = Write {
        namespace: key.namespace,
        path: key.path.clone(),
        change: Change::Put { content, lifetime: None },
        precondition: Precondition::default(),
        asker: Asker::nobody(),
    };
    let outcomes = store.commit(vec![put])?;
    let node = store.identity().origin.node;
    store.close();
    match outcomes.first() {
        Some(Outcome::Created(written)) => Ok(Side { node, written: *written }),
        _ => Err(StoreError::Format {
            dir: dir.to_owned(),
            reason: "it was not new when it was written".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::prepare;
    use crate::data_dir::{DataDir, Expect};
    use crate::error::StoreError;
    use crate::observer::Key;
    use bytes::Bytes;
    use kvs_core::namespace::Namespace;
    use kvs_core::path::Path;
    use kvs_core::version::JOINED_YOUNGEST_MS;

    const VALUES: [Bytes; 2] = [Bytes::from_static(b"\"a\""), Bytes::from_static(b"\"b\"")];

    fn key() -> Key {
        Key { namespace: Namespace::Data, path: Path::parse("test/conflict/data").unwrap() }
    }

    #[test]
    fn both_sides_write_at_one_moment_and_the_first_has_the_older_node() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().join("a"), dir.path().join("b")];
        let [older, younger] = prepare([&dirs[0], &dirs[1]], &key(), VALUES, 1_000).unwrap();
        let [first, second] = [older.written.version, younger.written.version];
        assert_eq!((first.stamp, first.stamp.ms), (second.stamp, 1_000));
        assert_eq!((first.origin_joined_ms, second.origin_joined_ms), (1_000, JOINED_YOUNGEST_MS));
        assert!(first > second && older.node != younger.node);
    }

    #[test]
    fn directories_that_hold_something_or_are_one_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (new, used) = (dir.path().join("new"), dir.path().join("used"));
        drop(DataDir::open(&used, Expect::New).unwrap());
        for dirs in [[&*new, &*used], [&*used, &*new], [&*new, &*new]] {
            let refused = prepare(dirs, &key(), VALUES, 1_000);
            assert!(matches!(refused, Err(StoreError::Format { .. })), "{refused:?}");
            assert!(!new.exists());
        }
    }
}
