//! Finding the end of a trail when it is opened: the last whole entry, a torn line after it, damage before it.
//!
//! A crash can leave a last line without its end, because a line is written before it is synced; nobody was told that it
//! is there. Such a line is cut off. Everything else that does not fit was not made by a crash of this program, and is left
//! as it is for `verify` to name.

use std::fs::{self, OpenOptions};
use std::path::Path;

use crate::entry::parse_line;
use crate::error::AuditError;
use crate::files::{sync_dir, write_error};
use crate::hash::EntryHash;
use crate::position::Position;
use crate::segment::{Next, Segment, list};

/// The end of a trail.
#[derive(Debug)]
pub(crate) struct End {
    /// The last entry.
    pub(crate) position: Position,
    /// The last segment, with its length, unless the next entry must begin a new one.
    pub(crate) segment: Option<(Segment, u64)>,
    /// How many bytes of a torn line were cut off.
    pub(crate) cut_bytes: u64,
    /// What does not fit, in the last segment.
    pub(crate) damage: Option<String>,
}

/// Finds the end of the trail in `dir` and cuts a torn line off.
///
/// # Errors
///
/// Files cannot be read, or what is torn cannot be cut off.
pub(crate) fn find_end(dir: &Path) -> Result<End, AuditError> {
    let mut cut_bytes = 0;
    for segment in list(dir)?.into_iter().rev() {
        let scan = scan(&segment)?;
        cut_bytes += scan.torn_bytes;
        if scan.torn_bytes > 0 {
            cut(&segment, scan.whole_bytes)?;
        }
        // A segment that was begun and got no whole line is not the last one.
        if scan.whole_bytes == 0 {
            fs::remove_file(&segment.path).map_err(|source| write_error(&segment.path, source))?;
            sync_dir(dir)?;
            continue;
        }
        let is_sound = scan.damage.is_none();
        return Ok(End {
            position: scan.last,
            segment: is_sound.then_some((segment, scan.whole_bytes)),
            cut_bytes,
            damage: scan.damage,
        });
    }
    Ok(End { position: Position::START, segment: None, cut_bytes, damage: None })
}

struct Scan {
    last: Position,
    whole_bytes: u64,
    torn_bytes: u64,
    damage: Option<String>,
}

fn scan(segment: &Segment) -> Result<Scan, AuditError> {
    let mut lines = segment.lines()?;
    let mut line = Vec::new();
    let before = Position { seq: segment.first_seq - 1, head: EntryHash::GENESIS };
    let mut scan = Scan { last: before, whole_bytes: 0, torn_bytes: 0, damage: None };
    let name = segment.name();
    loop {
        let next = lines.next(&mut line)?;
        let at = || format!("line {} of {name}", lines.number());
        let found = match next {
            Next::End => break,
            Next::Torn(bytes) => {
                scan.torn_bytes = bytes;
                break;
            }
            Next::TooLong => Err("it is too long"),
            Next::Line => parse_line(&line),
        };
        let problem = match found {
            Err(problem) => Some(problem),
            Ok(line) => {
                let expected = scan.last.seq.checked_add(1);
                let is_first = lines.number() == 1;
                let chained = Some(line.entry.seq) == expected && (is_first || line.prev == scan.last.head);
                let problem = if !line.is_whole() {
                    Some("it is not what was hashed")
                } else if !chained {
                    Some("it does not follow the line before it")
                } else {
                    None
                };
                // A line has more than one byte: a number beyond that was made up, and must not lift those that follow.
                let is_plausible = line.entry.seq - before.seq.min(line.entry.seq) <= lines.bytes();
                let seq = if is_plausible { scan.last.seq.max(line.entry.seq) } else { scan.last.seq };
                scan.last = Position { seq, head: line.stated };
                problem
            }
        };
        if let Some(problem) = problem {
            scan.damage.get_or_insert_with(|| format!("{}: {problem}", at()));
        }
        scan.whole_bytes = lines.bytes();
    }
    if scan.damage.is_some() {
        // What follows goes to a segment of its own, whose name must be a new one.
        scan.last.seq = scan.last.seq.max(segment.first_seq);
    }
    Ok(scan)
}

fn cut(segment: &Segment, whole_bytes: u64) -> Result<(), AuditError> {
    let cut = OpenOptions::new().write(true).open(&segment.path).and_then(|file| {
        file.set_len(whole_bytes)?;
        file.sync_all()
    });
    cut.map_err(|source| write_error(&segment.path, source))
}
