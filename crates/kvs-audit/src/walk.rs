//! Walking along a trail, line by line through all its segments.

use std::collections::VecDeque;
use std::path::Path;

use crate::entry::{Line, parse_line};
use crate::error::AuditError;
use crate::fault::Place;
use crate::segment::{Lines, Next, Segment, list};

/// A walk along a trail as it was when the walk began.
#[derive(Debug)]
pub(crate) struct Walk {
    ahead: VecDeque<Segment>,
    current: Option<(Segment, Lines)>,
    buffer: Vec<u8>,
    segments: u64,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    /// A segment begins.
    Segment(Segment),
    /// A line, or why it is no entry.
    Line(Place, Result<Box<Line>, &'static str>),
    /// The last segment ends with so many bytes that no line break follows.
    Torn(u64),
    /// The end.
    End,
}

impl Walk {
    /// Begins at the oldest entry in `dir`.
    ///
    /// # Errors
    ///
    /// There is no such folder, or it cannot be read.
    pub(crate) fn begin(dir: &Path) -> Result<Self, AuditError> {
        dir.metadata().map_err(|source| AuditError::Read { path: dir.to_owned(), source })?;
        Ok(Self { ahead: list(dir)?.into(), current: None, buffer: Vec::new(), segments: 0 })
    }

    /// How many segments were begun.
    pub(crate) const fn segments(&self) -> u64 {
        self.segments
    }

    /// The bytes of the line that was walked over last, without its line break.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes a step.
    pub(crate) fn step(&mut self) -> Result<Step, AuditError> {
        loop {
            let Some((segment, lines)) = &mut self.current else {
                let Some(segment) = self.ahead.pop_front() else { return Ok(Step::End) };
                self.segments += 1;
                self.current = Some((segment.clone(), segment.lines()?));
                return Ok(Step::Segment(segment));
            };
            let next = lines.next(&mut self.buffer)?;
            let seq = segment.first_seq.checked_add(lines.number().saturating_sub(1));
            let place = Place { file: segment.name(), line: lines.number(), seq };
            match next {
                Next::Line => return Ok(Step::Line(place, parse_line(&self.buffer).map(Box::new))),
                Next::TooLong => return Ok(Step::Line(place, Err("it is longer than any entry"))),
                Next::Torn(bytes) if self.ahead.is_empty() => return Ok(Step::Torn(bytes)),
                Next::Torn(_) => {
                    return Ok(Step::Line(place, Err("it has no end, and another segment follows")));
                }
                Next::End => self.current = None,
            }
        }
    }

    /// The next line that is a whole entry, whatever stands between.
    pub(crate) fn next_whole(&mut self) -> Result<Option<Box<Line>>, AuditError> {
        loop {
            match self.step()? {
                Step::Line(_, Ok(line)) if line.is_whole() => return Ok(Some(line)),
                Step::End | Step::Torn(_) => return Ok(None),
                Step::Line(..) | Step::Segment(_) => {}
            }
        }
    }
}
