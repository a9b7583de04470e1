//! A file of one node's checkpoints, one a line, in the order in which they came.
//!
//! What is in it is never changed. When it is full, every second line between the first and the last is dropped, the first
//! one of each key excepted: after long use the lines lie dense in the recent past and ever sparser before it. Because of
//! the chain a checkpoint covers all entries before it, so a dropped one takes nothing away that a later one does not show.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::checkpoint::{Checkpoint, PublicKey};
use crate::error::AuditError;
use crate::files::{open_for_append, read_bounded, write_error, write_whole};
use crate::hash::EntryHash;
use crate::limits::{CHECKPOINT_FILE_BYTES_MAX, CHECKPOINTS_KEPT_MAX, KEYS_PER_PEER_MAX};

/// What a file of checkpoints holds.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// The checkpoints with the numbers of their lines.
    pub(crate) checkpoints: Vec<(u64, Checkpoint)>,
    /// Lines that are none, by number, and why.
    pub(crate) bad: Vec<(u64, String)>,
    /// Whether the file ends in the middle of a line, as after a crash.
    pub(crate) torn: bool,
}

/// Reads a file of checkpoints; a file that is not there holds none.
///
/// # Errors
///
/// The file cannot be read, or is longer than any that is written.
pub(crate) fn read(path: &Path) -> Result<Read, AuditError> {
    let mut read = Read::default();
    let bytes = read_bounded(path, CHECKPOINT_FILE_BYTES_MAX)?.unwrap_or_default();
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        let Some(line) = line.strip_suffix(b"\n") else {
            read.torn = true;
            break;
        };
        match Checkpoint::decode(line) {
            Ok(checkpoint) => read.checkpoints.push((number, checkpoint)),
            Err(error) => read.bad.push((number, error.to_string())),
        }
    }
    Ok(read)
}

/// What became of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It says more than all before it, and is kept.
    Kept,
    /// It is kept, and signed with another key than the node's checkpoints before it.
    KeptWithNewKey,
    /// It, or one that says the same, was kept before.
    Known,
    /// It is about an earlier entry than the last one kept, and proves nothing against it.
    Stale,
    /// It contradicts one that is kept: same entry, same key, another hash. The kept one stays.
    Contradicts,
}

/// A file of one node's checkpoints that more are added to.
#[derive(Debug)]
pub(crate) struct CheckpointFile {
    path: PathBuf,
    node: Uuid,
    known: Vec<Known>,
    lines: usize,
    torn: bool,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    key: PublicKey,
    seq: u64,
    head: EntryHash,
}

impl CheckpointFile {
    /// Opens the file for checkpoints of `node`; it is made by the first one.
    ///
    /// # Errors
    ///
    /// As [`read`].
    pub(crate) fn open(path: PathBuf, node: Uuid) -> Result<Self, AuditError> {
        let read = read(&path)?;
        let of_node = read.checkpoints.iter().map(|(_, checkpoint)| checkpoint).filter(|it| it.node == node);
        Ok(Self {
            known: of_node.map(Known::from).collect(),
            lines: read.checkpoints.len() + read.bad.len(),
            torn: read.torn,
            path,
            node,
        })
    }

    /// The last entry that a checkpoint with this key is about, and its hash.
    pub(crate) fn last_with(&self, key: PublicKey) -> Option<(u64, EntryHash)> {
        self.known.iter().rev().find(|known| known.key == key).map(|known| (known.seq, known.head))
    }

    /// Keeps a checkpoint if it says something new. It is on disk afterwards.
    ///
    /// # Errors
    ///
    /// It is about another node, the file has no room for a further key, or the disk fails; nothing was kept.
    pub(crate) fn keep(&mut self, checkpoint: &Checkpoint) -> Result<Kept, AuditError> {
        if checkpoint.node != self.node {
            return Err(AuditError::CheckpointFormat("it is about another node"));
        }
        let kept = self.judge(checkpoint)?;
        if !matches!(kept, Kept::Kept | Kept::KeptWithNewKey) {
            return Ok(kept);
        }
        if self.torn || self.lines >= CHECKPOINTS_KEPT_MAX {
            self.rewrite()?;
        }
        let failed = |error| write_error(&self.path, error);
        let mut file = open_for_append(&self.path)?;
        let length = file.metadata().map_err(failed)?.len();
        let written = file.write_all(format!("{}\n", checkpoint.encode()).as_bytes());
        if let Err(error) = written.and_then(|()| file.sync_data()) {
            // Half a line would make the next one unreadable.
            self.torn = file.set_len(length).is_err();
            return Err(failed(error));
        }
        self.known.push(Known::from(checkpoint));
        self.lines += 1;
        Ok(kept)
    }

    fn judge(&self, checkpoint: &Checkpoint) -> Result<Kept, AuditError> {
        let Some((last, _)) = self.last_with(checkpoint.key) else {
            let keys: BTreeSet<PublicKey> = self.known.iter().map(|known| known.key).collect();
            return match keys.len() {
                0 => Ok(Kept::Kept),
                1..KEYS_PER_PEER_MAX => Ok(Kept::KeptWithNewKey),
                _ => Err(AuditError::CheckpointsFull("the node has shown too many keys")),
            };
        };
        let same = self.known.iter().find(|it| it.key == checkpoint.key && it.seq == checkpoint.seq);
        Ok(match same {
            Some(same) if same.head == checkpoint.head => Kept::Known,
            Some(_) => Kept::Contradicts,
            None if checkpoint.seq > last => Kept::Kept,
            None => Kept::Stale,
        })
    }

    /// Writes the file anew without a torn end and, if it is full, with fewer lines.
    fn rewrite(&mut self) -> Result<(), AuditError> {
        let bytes = read_bounded(&self.path, CHECKPOINT_FILE_BYTES_MAX)?.unwrap_or_default();
        let whole = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let lines: Vec<(&[u8], Option<Checkpoint>)> = whole
            .map(|line| (line, line.strip_suffix(b"\n").and_then(|line| Checkpoint::decode(line).ok())))
            .collect();
        let is_full = lines.len() >= CHECKPOINTS_KEPT_MAX;
        let mut keys = BTreeSet::new();
        let (mut text, mut known, mut count) = (Vec::new(), Vec::new(), 0);
        for (at, (line, checkpoint)) in lines.iter().enumerate() {
            let checkpoint = checkpoint.filter(|checkpoint| checkpoint.node == self.node);
            let is_first_of_key = checkpoint.is_some_and(|checkpoint| keys.insert(checkpoint.key));
            if is_full && !is_first_of_key && at % 2 == 1 && at + 1 < lines.len() {
                continue;
            }
            text.extend_from_slice(line);
            known.extend(checkpoint.as_ref().map(Known::from));
            count += 1;
        }
        write_whole(&self.path, &text)?;
        (self.known, self.lines, self.torn) = (known, count, false);
        Ok(())
    }
}

impl From<&Checkpoint> for Known {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self { key: checkpoint.key, seq: checkpoint.seq, head: checkpoint.head }
    }
}

#[cfg(test)]
mod tests {
    use super::{CheckpointFile, Kept, read};
    use crate::checkpoint::Checkpoint;
    use crate::hash::EntryHash;
    use crate::limits::{CHECKPOINTS_KEPT_MAX, KEYS_PER_PEER_MAX};
    use crate::node_key::NodeKey;
    use std::path::Path;
    use uuid::Uuid;

    const NODE: Uuid = Uuid::max();

    fn signed(key: u8, seq: u64, head: &[u8]) -> Checkpoint {
        Checkpoint::sign(&NodeKey::from_seed(&[key; 32]), NODE, seq, EntryHash::of(head), seq)
    }

    fn open(dir: &Path) -> CheckpointFile {
        CheckpointFile::open(dir.join("peer.jsonl"), NODE).expect("opened")
    }

    #[test]
    fn what_says_more_is_kept_and_nothing_replaces_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut file = open(dir.path());
        let keep = |file: &mut CheckpointFile, checkpoint| file.keep(&checkpoint).expect("judged");
        assert_eq!(keep(&mut file, signed(1, 10, b"a")), Kept::Kept);
        assert_eq!(keep(&mut file, signed(1, 10, b"a")), Kept::Known);
        assert_eq!(keep(&mut file, signed(1, 10, b"b")), Kept::Contradicts);
        assert_eq!(keep(&mut file, signed(1, 9, b"c")), Kept::Stale);
        let mut file = open(dir.path());
        assert_eq!(keep(&mut file, signed(1, 10, b"b")), Kept::Contradicts);
        assert_eq!(keep(&mut file, signed(2, 3, b"d")), Kept::KeptWithNewKey);
        assert_eq!(keep(&mut file, signed(2, 4, b"d")), Kept::Kept);
        assert_eq!(keep(&mut file, signed(1, 12, b"e")), Kept::Kept);
        let read = read(&dir.path().join("peer.jsonl")).expect("read");
        let seqs: Vec<u64> = read.checkpoints.iter().map(|(_, checkpoint)| checkpoint.seq).collect();
        assert_eq!(seqs, [10, 3, 4, 12]);
    }

    #[test]
    fn keys_and_other_nodes_are_bounded() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut file = open(dir.path());
        for key in 0..u8::try_from(KEYS_PER_PEER_MAX).expect("small") {
            assert!(file.keep(&signed(key, 1, b"a")).is_ok());
        }
        assert!(file.keep(&signed(99, 1, b"a")).is_err());
        let other = Checkpoint::sign(&NodeKey::from_seed(&[1; 32]), Uuid::nil(), 5, EntryHash::of(b""), 1);
        assert!(file.keep(&other).is_err());
    }

    #[test]
    fn a_full_file_keeps_its_ends_and_thins_out_between_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut file = open(dir.path());
        let last = CHECKPOINTS_KEPT_MAX as u64 * 2;
        for seq in 1..=last {
            assert_eq!(file.keep(&signed(1, seq, b"a")).expect("kept"), Kept::Kept);
        }
        let read = read(&dir.path().join("peer.jsonl")).expect("read");
        assert!(read.checkpoints.len() <= CHECKPOINTS_KEPT_MAX && read.bad.is_empty());
        let seqs: Vec<u64> = read.checkpoints.iter().map(|(_, checkpoint)| checkpoint.seq).collect();
        assert_eq!((seqs.first(), seqs.last()), (Some(&1), Some(&last)));
        assert!(seqs.is_sorted());
        let early = seqs.iter().filter(|seq| **seq <= last / 4).count();
        let late = seqs.iter().filter(|seq| **seq > last / 4 * 3).count();
        assert!(early < late, "{early} {late}");
    }

    #[test]
    fn half_a_line_is_cut_off_before_the_next_is_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("peer.jsonl");
        open(dir.path()).keep(&signed(1, 1, b"a")).expect("kept");
        let mut bytes = std::fs::read(&path).expect("read");
        bytes.extend_from_slice(b"{\"kind\":");
        std::fs::write(&path, bytes).expect("written");
        open(dir.path()).keep(&signed(1, 2, b"b")).expect("kept");
        let read = read(&path).expect("read");
        assert_eq!((read.checkpoints.len(), read.bad.len(), read.torn), (2, 0, false));
    }
}
