//! The lines of an input, one at a time, each bounded; gzip is recognised by its first bytes.
//!
//! An input may be a pipe without end or a file that is one line of gigabytes: what is longer than the bound is read
//! past without being kept.

use std::io::{BufRead, BufReader, Chain, Cursor, Read, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

/// How much is read from the system at once, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// The two bytes at the start of every gzip file (RFC 1952 section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The UTF-8 byte order mark, which some programs write before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What is between two line ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// The bytes, without the line end.
    Text(&'a [u8]),
    /// More bytes than the bound; they were read past.
    TooLong,
}

/// How many bytes were read from the input so far, as they are stored (compressed where it is): the progress.
#[derive(Debug, Clone, Default)]
pub(crate) struct Position(Arc<AtomicU64>);

impl Position {
    /// The number of bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts what passes.
struct Counted<R> {
    inner: R,
    position: Position,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.inner.read(buffer)?;
        self.position.0.fetch_add(u64::try_from(read).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(read)
    }
}

/// The lines of one input.
pub(crate) struct Lines<'r> {
    reader: Box<dyn BufRead + 'r>,
    line: Vec<u8>,
    bytes_max: usize,
    first: bool,
}

impl<'r> Lines<'r> {
    /// Reads lines of at most `bytes_max` bytes from `input`, through gzip when it begins as gzip does.
    ///
    /// # Errors
    ///
    /// Whatever reading the first bytes gives.
    pub(crate) fn open(input: impl Read + 'r, bytes_max: usize) -> Result<(Self, Position)> {
        let position = Position::default();
        let mut counted = Counted { inner: input, position: position.clone() };
        let mut start = Vec::with_capacity(GZIP_MAGIC.len());
        counted.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut start)?;
        let gzip = start == GZIP_MAGIC;
        let whole: Chain<Cursor<Vec<u8>>, _> = Cursor::new(start).chain(counted);
        let plain = BufReader::with_capacity(BUFFER_BYTES, whole);
        let reader: Box<dyn BufRead + 'r> = if gzip {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        Ok((Self { reader, line: Vec::new(), bytes_max, first: true }, position))
    }

    /// The next line, or `None` at the end of the input. A last line without a line end is a line.
    ///
    /// # Errors
    ///
    /// Whatever reading gives, a damaged gzip stream included.
    pub(crate) fn read_line(&mut self) -> Result<Option<Line<'_>>> {
        self.line.clear();
        let mut kept = true;
        let mut seen = false;
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                break;
            }
            seen = true;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            kept = kept && self.line.len() + part.len() <= self.bytes_max;
            if kept {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !seen {
            return Ok(None);
        }
        let first = std::mem::replace(&mut self.first, false);
        if !kept {
            return Ok(Some(Line::TooLong));
        }
        let line = match self.line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if first => rest,
            _ => &self.line,
        };
        Ok(Some(Line::Text(line)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Lines};
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn read_all(input: &[u8], bytes_max: usize) -> (Vec<Option<Vec<u8>>>, u64) {
        let (mut lines, position) = Lines::open(input, bytes_max).expect("readable");
        let mut all = Vec::new();
        while let Some(line) = lines.read_line().expect("readable") {
            all.push(match line {
                Line::Text(text) => Some(text.to_vec()),
                Line::TooLong => None,
            });
        }
        (all, position.bytes())
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn a_last_line_without_an_end_is_a_line_and_an_end_starts_none() {
        assert_eq!(read_all(b"a\nb", 10).0, [Some(b"a".to_vec()), Some(b"b".to_vec())]);
        assert_eq!(read_all(b"a\n\n", 10).0, [Some(b"a".to_vec()), Some(Vec::new())]);
        assert_eq!(read_all(b"", 10).0, []);
    }

    #[test]
    fn a_line_above_the_bound_is_passed_over_and_the_next_one_is_read() {
        let long = format!("{}\nb\n", "x".repeat(1_000_000));
        assert_eq!(read_all(long.as_bytes(), 10).0, [None, Some(b"b".to_vec())]);
        assert_eq!(read_all(b"0123456789\n0123456789a", 10).0, [Some(b"0123456789".to_vec()), None]);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_at_the_start_only() {
        let all = read_all(b"\xef\xbb\xbfa\n\xef\xbb\xbfb", 10).0;
        assert_eq!(all, [Some(b"a".to_vec()), Some(b"\xef\xbb\xbfb".to_vec())]);
    }

    #[test]
    fn gzip_is_read_through_and_progress_counts_the_stored_bytes() {
        let mut stored = gzip(b"a\nb\n");
        stored.extend(gzip(b"c\n"));
        let (all, bytes) = read_all(&stored, 10);
        assert_eq!(all, [Some(b"a".to_vec()), Some(b"b".to_vec()), Some(b"c".to_vec())]);
        assert_eq!(bytes, stored.len() as u64);
    }

    #[test]
    fn a_truncated_gzip_file_is_an_error_and_not_an_end() {
        let stored = gzip("line\n".repeat(1_000).as_bytes());
        let cut = stored.get(..stored.len() - 9).expect("longer than a trailer");
        let (mut lines, _) = Lines::open(cut, 10).expect("readable");
        let mut outcome = Ok(());
        for _ in 0..2_000 {
            match lines.read_line() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        assert!(outcome.is_err());
    }
}
