//! The trail of a running node, open for appending: segments, their rotation, and the removal of the oldest.
//!
//! **Invariant:** a line is written only after the line before it, into the same segment or the next. **Invariant:** when a
//! segment is left for the next one it is on disk; so what is on disk is always a beginning of the trail, and syncing the
//! last segment syncs everything. **Invariant:** after a write that failed the file ends where it did before, or the trail
//! accepts nothing more.
//!
//! One process at a time has a trail open; the lock of the data directory sees to that.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::checkpoint::{PublicKey, Retirement};
use crate::checkpoint_file::read as read_checkpoints;
use crate::entry::{parse_line, push_line};
use crate::error::AuditError;
use crate::event::{Event, EventKind, Outcome};
use crate::files::{
    key_file, make_private_dir, open_for_append, own_checkpoints, read_bounded, retired_file, sync_dir,
    write_error, write_whole,
};
use crate::hash::EntryHash;
use crate::limits::{
    BUFFER_BYTES_KEPT_MAX, CHECKPOINT_BYTES_MAX, CHECKPOINT_INTERVAL_MS, PUBLIC_EVENTS_PER_SECOND_MAX,
    SEGMENT_BYTES_MAX, TRAIL_BYTES_MAX,
};
use crate::node_key::NodeKey;
use crate::position::Position;
use crate::recovery::find_end;
use crate::segment::{Next, Segment, list};

/// How a trail is opened.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The node whose trail it is.
    pub node: Uuid,
    /// 32 random bytes, which become the node's key when it has none yet.
    pub key_seed: [u8; 32],
    /// Size at which the next segment is begun, in bytes.
    pub segment_bytes_max: u64,
    /// Size of all segments above which the oldest are removed, in bytes. The last two always stay.
    pub trail_bytes_max: u64,
    /// Most entries of each kind per second about what strangers do.
    pub public_events_per_second_max: u32,
    /// Time from one checkpoint to the next, in milliseconds.
    pub checkpoint_interval_ms: u64,
}

impl Options {
    /// The usual bounds.
    pub const fn new(node: Uuid, key_seed: [u8; 32]) -> Self {
        Self {
            node,
            key_seed,
            segment_bytes_max: SEGMENT_BYTES_MAX,
            trail_bytes_max: TRAIL_BYTES_MAX,
            public_events_per_second_max: PUBLIC_EVENTS_PER_SECOND_MAX,
            checkpoint_interval_ms: CHECKPOINT_INTERVAL_MS,
        }
    }
}

/// What was found when a trail was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// How many bytes of a torn last line were cut off, as a crash leaves one.
    pub cut_bytes: u64,
    /// What no crash of this program leaves; the trail goes on behind it, and `verify` names it.
    pub damage: Option<String>,
}

/// The trail, open for appending.
#[derive(Debug)]
pub struct Trail {
    dir: PathBuf,
    options: Options,
    key: Arc<NodeKey>,
    position: Position,
    current: Current,
    /// The segments before the current one with their lengths, the oldest first.
    former: VecDeque<(Segment, u64)>,
    buffer: Vec<u8>,
    poisoned: Option<String>,
}

#[derive(Debug)]
struct Current {
    segment: Segment,
    file: Arc<File>,
    bytes: u64,
}

impl Trail {
    /// Opens the trail in `dir`, or begins one. It has an entry `opened` afterwards, and all of it is on disk.
    ///
    /// # Errors
    ///
    /// Files cannot be read or written, or the key is unusable. What was found stays, but for a torn last line.
    pub fn open(dir: &Path, options: Options, now_ms: u64) -> Result<(Self, Opening), AuditError> {
        make_private_dir(dir)?;
        let key = Arc::new(NodeKey::read_or_make(&key_file(dir), &options.key_seed)?);
        let mut damage = None;
        let retired = match read_retirement(dir) {
            Err(AuditError::File { reason, .. }) => {
                damage = Some(format!("retired.json: {reason}"));
                None
            }
            read => read?,
        };
        // Only what was signed with this key was decided by this node.
        if let Some(retired) = retired.filter(|retired| retired.0.key == key.public()) {
            finish_retirement(dir, retired.0.seq)?;
        }
        let end = find_end(dir)?;
        damage = damage.or(end.damage);
        let known = furthest_known(dir, key.public(), retired)?;
        let position = if known.seq > end.position.seq {
            let found = end.position.seq;
            damage.get_or_insert_with(|| {
                format!("the trail ends with entry {found}, but entry {} was signed", known.seq)
            });
            known
        } else {
            end.position
        };
        let mut former: VecDeque<(Segment, u64)> = VecDeque::new();
        for segment in list(dir)? {
            let bytes = fs::metadata(&segment.path)
                .map_err(|source| AuditError::Read { path: segment.path.clone(), source })?
                .len();
            former.push_back((segment, bytes));
        }
        let goes_on = end.segment.is_some() && position == end.position;
        let (segment, bytes) = match if goes_on { former.pop_back() } else { None } {
            Some(last) => last,
            None => (Segment::at(dir, position.seq.saturating_add(1)), 0),
        };
        let file = Arc::new(open_for_append(&segment.path)?);
        sync_dir(dir)?;
        let current = Current { segment, file, bytes };
        let mut trail = Self {
            dir: dir.to_owned(),
            options,
            key,
            position,
            current,
            former,
            buffer: Vec::new(),
            poisoned: None,
        };
        let opening = Opening { cut_bytes: end.cut_bytes, damage };
        trail.note_opening(&opening, now_ms)?;
        Ok((trail, opening))
    }

    /// How many entries there are, and the hash of the last.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The key that this node's checkpoints are signed with, its public part.
    pub fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// Appends one entry per event with one write; they are not on disk before the file of [`Self::current_file`] is
    /// synced. May begin the next segment, which waits for the disk, and remove the oldest ones.
    ///
    /// # Errors
    ///
    /// No entry was appended. After [`AuditError::Poisoned`] every call gives it; after [`AuditError::Full`] the next may
    /// succeed.
    pub fn append(&mut self, events: &[Event<'_>]) -> Result<Position, AuditError> {
        let Some(last) = events.last() else { return Ok(self.position) };
        if self.write(events)? {
            self.retire_if_due(last.time_ms);
        }
        Ok(self.position)
    }

    /// The file whose sync puts everything that was appended so far on disk.
    pub fn current_file(&self) -> Arc<File> {
        Arc::clone(&self.current.file)
    }

    /// The key, for checkpoints.
    pub(crate) fn key(&self) -> Arc<NodeKey> {
        Arc::clone(&self.key)
    }

    /// Refuses everything from now on, because a sync failed.
    pub(crate) fn poison(&mut self, reason: &str) {
        self.poisoned.get_or_insert_with(|| reason.to_owned());
    }

    fn note_opening(&mut self, opening: &Opening, now_ms: u64) -> Result<(), AuditError> {
        let mut events = Vec::new();
        let cut = format!("{} bytes of a torn last line were cut off", opening.cut_bytes);
        if opening.cut_bytes > 0 {
            events.push(Event { detail: Some(&cut), ..Event::new(now_ms, EventKind::Recovered, "") });
        }
        if let Some(damage) = &opening.damage {
            events.push(Event {
                outcome: Outcome::Failed(damage),
                ..Event::new(now_ms, EventKind::Damaged, "")
            });
        }
        let (node, key) = (self.options.node.to_string(), self.key.public().to_string());
        events.push(Event {
            subject: Some(&node),
            detail: Some(&key),
            ..Event::new(now_ms, EventKind::Opened, "")
        });
        self.append(&events)?;
        self.current.file.sync_all().map_err(|source| write_error(&self.current.segment.path, source))
    }

    /// Writes the lines; returns whether a new segment was begun for them.
    fn write(&mut self, events: &[Event<'_>]) -> Result<bool, AuditError> {
        if let Some(reason) = &self.poisoned {
            return Err(AuditError::Poisoned(reason.clone()));
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.shrink_to(BUFFER_BYTES_KEPT_MAX);
        let written = self.write_lines(&mut buffer, events);
        self.buffer = buffer;
        written
    }

    fn write_lines(&mut self, buffer: &mut Vec<u8>, events: &[Event<'_>]) -> Result<bool, AuditError> {
        let mut position = self.position;
        for event in events {
            let full = || AuditError::Poisoned("the numbers of entries are used up".to_owned());
            let seq = position.seq.checked_add(1).ok_or_else(full)?;
            position = Position { seq, head: push_line(buffer, seq, event, position.head)? };
        }
        let bytes = buffer.len() as u64;
        let is_full = self.current.bytes > 0
            && self.current.bytes.saturating_add(bytes) > self.options.segment_bytes_max;
        if is_full {
            self.begin_segment()?;
        }
        if let Err(error) = self.current.file.as_ref().write_all(buffer) {
            let error = write_error(&self.current.segment.path, error);
            if let Err(worse) = self.current.file.set_len(self.current.bytes) {
                let reason = format!("{error}, and what was written cannot be taken back: {worse}");
                self.poison(&reason);
                return Err(AuditError::Poisoned(reason));
            }
            return Err(error);
        }
        self.current.bytes += bytes;
        self.position = position;
        Ok(is_full)
    }

    fn begin_segment(&mut self) -> Result<(), AuditError> {
        if let Err(error) = self.current.file.sync_all() {
            self.poison(&error.to_string());
            return Err(AuditError::Poisoned(error.to_string()));
        }
        let segment = Segment::at(&self.dir, self.position.seq.saturating_add(1));
        let file = Arc::new(open_for_append(&segment.path)?);
        sync_dir(&self.dir)?;
        let next = Current { segment, file, bytes: 0 };
        let left = std::mem::replace(&mut self.current, next);
        self.former.push_back((left.segment, left.bytes));
        Ok(())
    }

    /// Removes the oldest segments when there is too much. A failure is told in the log and leaves them for the next time.
    fn retire_if_due(&mut self, now_ms: u64) {
        if let Err(error) = self.retire(now_ms) {
            tracing::warn!(error = %error, dir = %self.dir.display(), "old audit segments could not be removed");
        }
    }

    fn retire(&mut self, now_ms: u64) -> Result<(), AuditError> {
        let former: u64 = self.former.iter().map(|(_, bytes)| bytes).sum();
        let mut excess =
            former.saturating_add(self.current.bytes).saturating_sub(self.options.trail_bytes_max);
        let mut count = 0;
        for (_, bytes) in self.former.iter().take(self.former.len().saturating_sub(1)) {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(*bytes);
            count += 1;
        }
        let Some((kept, _)) = self.former.get(count).filter(|_| count > 0) else { return Ok(()) };
        let last = Position { seq: kept.first_seq - 1, head: hash_before(kept)? };
        let detail = retirement_text(last);
        // Noted, then signed, then done: whatever a crash leaves can be told from a removal that nobody signed.
        self.write(&[Event { detail: Some(&detail), ..Event::new(now_ms, EventKind::Retired, "") }])?;
        if let Err(error) = self.current.file.sync_all() {
            self.poison(&error.to_string());
            return Err(AuditError::Poisoned(error.to_string()));
        }
        let retirement = Retirement::sign(&self.key, self.options.node, last.seq, last.head, now_ms);
        write_whole(&retired_file(&self.dir), format!("{}\n", retirement.encode()).as_bytes())?;
        for (segment, _) in self.former.drain(..count) {
            fs::remove_file(&segment.path).map_err(|source| write_error(&segment.path, source))?;
        }
        sync_dir(&self.dir)
    }
}

/// What the entry `retired` says when entries up to and with `last` are removed.
pub(crate) fn retirement_text(last: Position) -> String {
    format!("entries up to {} are removed because of their age; the last had {}", last.seq, last.head)
}

/// The statement where the kept part of the trail begins; `None` when nothing was removed yet.
pub(crate) fn read_retirement(dir: &Path) -> Result<Option<Retirement>, AuditError> {
    let path = retired_file(dir);
    let Some(bytes) = read_bounded(&path, CHECKPOINT_BYTES_MAX as u64)? else { return Ok(None) };
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Retirement::decode(line)
        .map(Some)
        .map_err(|_| AuditError::File { path, reason: "it holds no signed statement" })
}

/// Removes segments that were retired before a crash could keep them from being removed.
fn finish_retirement(dir: &Path, retired_seq: u64) -> Result<(), AuditError> {
    let segments = list(dir)?;
    for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
        if next.first_seq <= retired_seq.saturating_add(1) {
            fs::remove_file(&segment.path).map_err(|source| write_error(&segment.path, source))?;
        }
    }
    sync_dir(dir)
}

/// The furthest place in the trail that was ever signed with this key, as far as the node's own files know.
fn furthest_known(dir: &Path, key: PublicKey, retired: Option<Retirement>) -> Result<Position, AuditError> {
    let own = read_checkpoints(&own_checkpoints(dir))?.checkpoints;
    let signed = own.into_iter().map(|(_, checkpoint)| checkpoint).chain(retired.map(|retired| retired.0));
    let furthest = signed.filter(|checkpoint| checkpoint.key == key).max_by_key(|checkpoint| checkpoint.seq);
    Ok(furthest.map_or(Position::START, |checkpoint| Position { seq: checkpoint.seq, head: checkpoint.head }))
}

/// The hash of the last entry before a segment, as its first line names it.
fn hash_before(segment: &Segment) -> Result<EntryHash, AuditError> {
    let unusable = AuditError::File { path: segment.path.clone(), reason: "its first line is no entry" };
    let mut line = Vec::new();
    match segment.lines()?.next(&mut line)? {
        Next::Line => parse_line(&line).map(|line| line.prev).map_err(|_| unusable),
        _ => Err(unusable),
    }
}
