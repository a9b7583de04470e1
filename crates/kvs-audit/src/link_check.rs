//! Whether each entry follows the one before it, and if not, what must have happened.
//!
//! A chain breaks at a place, but the entry that was bent may be the one before the break. Which one it was is told by the
//! entry after the break: whatever it follows is what once stood there.

use std::collections::VecDeque;

use crate::entry::Line;
use crate::error::AuditError;
use crate::fault::{Fault, FaultKind, Place};
use crate::hash::EntryHash;
use crate::position::Position;
use crate::segment::Segment;
use crate::walk::Walk;

/// How many entries back a copied entry is recognised as a copy.
const RECENT_MAX: usize = 1024;

/// What was walked over so far, all of it sound.
#[derive(Debug)]
pub(crate) struct LinkCheck {
    /// The last entry; its hash is not known before the first one when older ones were removed.
    seq: u64,
    head: Option<EntryHash>,
    last_place: Option<Place>,
    recent: VecDeque<EntryHash>,
}

impl LinkCheck {
    /// Before the first entry of a trail that goes on behind `before`, or whose first entry's predecessor is not known.
    pub(crate) fn begin(seq: u64, head: Option<EntryHash>) -> Self {
        Self { seq, head, last_place: None, recent: VecDeque::new() }
    }

    /// The last sound entry; `None` before the first.
    pub(crate) fn position(&self) -> Option<Position> {
        self.last_place.as_ref()?;
        Some(Position { seq: self.seq, head: self.head? })
    }

    /// The number that the next entry has.
    pub(crate) const fn expected(&self) -> u64 {
        self.seq.saturating_add(1)
    }

    /// Looks at the beginning of a segment.
    pub(crate) fn check_segment(&self, segment: &Segment) -> Result<(), Fault> {
        let expected = self.expected();
        let place = Place { file: segment.name(), line: 1, seq: Some(expected) };
        if segment.first_seq > expected {
            let what = format!("{} missing before it", are(expected, segment.first_seq - 1));
            return Err(Fault::at(FaultKind::SegmentMissing, place, what));
        }
        if segment.first_seq < expected {
            let what = "the segment begins with a number that the one before it has already";
            return Err(Fault::at(FaultKind::Inserted, place, what));
        }
        Ok(())
    }

    /// Looks at a line; `walk` stands behind it, and is used to find out what happened when the line does not fit.
    ///
    /// # Errors
    ///
    /// Files cannot be read.
    pub(crate) fn check(
        &mut self,
        place: Place,
        line: Result<&Line, &'static str>,
        walk: &mut Walk,
    ) -> Result<Result<(), Fault>, AuditError> {
        let place = Place { seq: Some(self.expected()), ..place };
        let line = match line {
            Ok(line) => line,
            Err(why) => return Ok(Err(Fault::at(FaultKind::Malformed, place, why))),
        };
        if !line.is_whole() {
            let what = "its bytes are not those that were hashed";
            return Ok(Err(Fault::at(FaultKind::Edited, place, what)));
        }
        let seq = line.entry.seq;
        if seq == self.expected() && self.head.is_none_or(|head| head == line.prev) {
            (self.seq, self.head, self.last_place) = (seq, Some(line.computed), Some(place));
            if self.recent.len() == RECENT_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back(line.computed);
            return Ok(Ok(()));
        }
        let fault = match seq.cmp(&self.expected()) {
            std::cmp::Ordering::Equal => self.other_predecessor(place, line, walk.next_whole()?.as_deref()),
            std::cmp::Ordering::Greater => self.gap(place, seq, walk)?,
            std::cmp::Ordering::Less => self.number_again(place, line, walk.next_whole()?.as_deref()),
        };
        Ok(Err(fault))
    }

    /// The number is right, but the entry names another hash as the one before it.
    fn other_predecessor(&self, place: Place, line: &Line, next: Option<&Line>) -> Fault {
        let takes_this_place =
            next.is_some_and(|next| next.entry.seq == self.expected() && Some(next.prev) == self.head);
        if takes_this_place {
            return Fault::at(
                FaultKind::Inserted,
                place,
                "the entry after it stands in its place in the chain",
            );
        }
        let is_followed = next.is_some_and(|next| next.prev == line.computed);
        match &self.last_place {
            Some(before) if is_followed => Fault::at(
                FaultKind::Edited,
                before.clone(),
                "it was changed and hashed anew: the entry after it names another hash",
            ),
            Some(before) if next.is_none() => {
                let what = format!(
                    "it, or the one before it ({before}), was changed and hashed anew: they do not fit"
                );
                Fault::at(FaultKind::Edited, place, what)
            }
            _ => Fault::at(FaultKind::Edited, place, "it does not follow the entry before it"),
        }
    }

    /// The number is too great: entries are missing, or come later.
    fn gap(&self, place: Place, seq: u64, walk: &mut Walk) -> Result<Fault, AuditError> {
        let expected = self.expected();
        while let Some(later) = walk.next_whole()? {
            if later.entry.seq == expected && self.head.is_none_or(|head| head == later.prev) {
                let what = format!("entry {seq} stands here, and entry {expected} behind it");
                return Ok(Fault::at(FaultKind::Reordered, place, what));
            }
        }
        let what = format!("{} missing before entry {seq}", are(expected, seq - 1));
        Ok(Fault::at(FaultKind::Removed, place, what))
    }

    /// The number was there already: one of the two is too many.
    fn number_again(&self, place: Place, line: &Line, next: Option<&Line>) -> Fault {
        let seq = line.entry.seq;
        let what = format!("there is an entry {seq} already");
        let is_copy = self.recent.contains(&line.computed);
        let goes_on = next.is_some_and(|next| next.prev == line.computed);
        if is_copy || !goes_on {
            return Fault::at(FaultKind::Inserted, place, what);
        }
        // The trail goes on from this one, so the one that came first is the one too many.
        let back = self.seq - seq;
        match &self.last_place {
            Some(last) if last.file == place.file && last.line > back => {
                let first = Place { file: place.file, line: last.line - back, seq: Some(seq) };
                Fault::at(
                    FaultKind::Inserted,
                    first,
                    format!("another entry {seq} is the one that is followed"),
                )
            }
            _ => Fault::at(FaultKind::Inserted, place, what),
        }
    }
}

fn are(first: u64, last: u64) -> String {
    if first == last { format!("entry {first} is") } else { format!("entries {first} to {last} are") }
}
