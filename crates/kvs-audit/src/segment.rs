//! Segments: the files that a trail's lines rest in, and reading them line by line within bounds.
//!
//! A segment's name is the number of its first entry. Nothing in a segment says that it is one: all segments one after
//! the other are the trail, and the chain runs through them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::AuditError;
use crate::limits::{FIRST_SEQ_MAX, LINE_BYTES_MAX, SEGMENTS_MAX};

const DIGITS: usize = 20;
const EXTENSION: &str = ".jsonl";

/// A segment in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The number of its first entry, as its name says.
    pub first_seq: u64,
    /// Where it lies.
    pub path: PathBuf,
}

impl Segment {
    /// The segment in `dir` whose first entry has this number.
    pub(crate) fn at(dir: &Path, first_seq: u64) -> Self {
        Self { first_seq, path: dir.join(format!("{first_seq:0DIGITS$}{EXTENSION}")) }
    }

    /// Its file name.
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Opens it for reading.
    pub(crate) fn lines(&self) -> Result<Lines, AuditError> {
        let file =
            File::open(&self.path).map_err(|source| AuditError::Read { path: self.path.clone(), source })?;
        Ok(Lines {
            path: self.path.clone(),
            reader: BufReader::with_capacity(256 * 1024, file),
            number: 0,
            bytes: 0,
        })
    }
}

/// The segments in a folder, the oldest first; none when there is no such folder.
///
/// # Errors
///
/// The folder cannot be read, or holds more than [`SEGMENTS_MAX`] of them.
pub fn list(dir: &Path) -> Result<Vec<Segment>, AuditError> {
    let failed = |source| AuditError::Read { path: dir.to_owned(), source };
    let names = match fs::read_dir(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut segments = Vec::new();
    for name in names {
        let path = name.map_err(failed)?.path();
        if let Some(first_seq) = path.file_name().and_then(|name| name.to_str()).and_then(first_seq) {
            segments.push(Segment { first_seq, path });
        }
        if segments.len() > SEGMENTS_MAX {
            return Err(AuditError::TooManySegments { dir: dir.to_owned() });
        }
    }
    segments.sort_by_key(|segment| segment.first_seq);
    Ok(segments)
}

fn first_seq(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION)?;
    let is_number = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten().filter(|seq| (1..=FIRST_SEQ_MAX).contains(seq))
}

/// A segment, line by line.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: u64,
    bytes: u64,
}

/// What comes next in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A line, without its line break, in the buffer.
    Line,
    /// A line that is longer than any entry; it was passed over.
    TooLong,
    /// What stands after the last line break, and how long it is.
    Torn(u64),
    /// The end.
    End,
}

impl Lines {
    /// The number of the line that was read last; the first line has 1.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes were read, those of the last line included.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the next line into `line`, whatever was in it.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> Result<Next, AuditError> {
        line.clear();
        let mut bytes = self.read_part(line)?;
        if bytes == 0 {
            return Ok(Next::End);
        }
        self.number += 1;
        if line.pop_if(|last| *last == b'\n').is_some() {
            return Ok(Next::Line);
        }
        let mut part = Vec::new();
        loop {
            part.clear();
            let more = self.read_part(&mut part)?;
            bytes += more;
            if more == 0 {
                return Ok(Next::Torn(bytes));
            }
            if part.last() == Some(&b'\n') {
                return Ok(Next::TooLong);
            }
        }
    }

    fn read_part(&mut self, part: &mut Vec<u8>) -> Result<u64, AuditError> {
        let mut bounded = (&mut self.reader).take(LINE_BYTES_MAX as u64);
        let read = bounded.read_until(b'\n', part);
        let bytes = read.map_err(|source| AuditError::Read { path: self.path.clone(), source })? as u64;
        self.bytes += bytes;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Next, Segment, list};
    use crate::limits::LINE_BYTES_MAX;

    #[test]
    fn only_segments_are_listed_and_the_oldest_first() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["00000000000000000012.jsonl", "00000000000000000001.jsonl"] {
            std::fs::write(dir.path().join(name), "").expect("written");
        }
        for name in
            ["checkpoints.jsonl", "12.jsonl", "00000000000000000000.jsonl", "99999999999999999999.jsonl"]
        {
            std::fs::write(dir.path().join(name), "").expect("written");
        }
        let segments = list(dir.path()).expect("listed");
        assert_eq!(segments, [Segment::at(dir.path(), 1), Segment::at(dir.path(), 12)]);
        assert_eq!(list(&dir.path().join("none")).expect("listed"), []);
    }

    #[test]
    fn lines_are_told_from_what_is_torn_or_too_long() {
        let dir = tempfile::tempdir().expect("a folder");
        let segment = Segment::at(dir.path(), 1);
        let long = "x".repeat(LINE_BYTES_MAX * 2 + 3);
        std::fs::write(&segment.path, format!("a\n{long}\nb\n\ntorn")).expect("written");
        let mut lines = segment.lines().expect("opened");
        let mut line = Vec::new();
        let mut seen = Vec::new();
        loop {
            let next = lines.next(&mut line).expect("read");
            if next == Next::End {
                break;
            }
            let text =
                if next == Next::Line { String::from_utf8_lossy(&line).into_owned() } else { String::new() };
            seen.push((lines.number(), next, text));
        }
        let expected = [
            (1, Next::Line, "a".to_owned()),
            (2, Next::TooLong, String::new()),
            (3, Next::Line, "b".to_owned()),
            (4, Next::Line, String::new()),
            (5, Next::Torn(4), String::new()),
        ];
        assert_eq!(seen, expected);
    }
}
