//! Reads the answers of Redis: simple strings, errors, integers and bulk strings; no arrays, as none is asked for.

use crate::bench::answer::{Answer, Pending, Progress};
use crate::bench::http_reader::parse_number;

/// A first line longer than this is broken.
const MAX_LINE_BYTES: usize = 1024;

/// The state between two pieces of one answer.
#[derive(Default)]
pub(crate) struct RespReader {
    /// A first line that has not ended yet.
    line: Vec<u8>,
    /// A bulk string that has not ended yet.
    bulk: Option<Pending>,
}

impl RespReader {
    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Progress {
        if let Some(pending) = self.bulk.take() {
            return self.continue_bulk(pending, bytes.len());
        }
        if self.line.is_empty() {
            return self.begin(bytes);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(bytes);
        self.begin(&line)
    }

    fn begin(&mut self, bytes: &[u8]) -> Progress {
        let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") else {
            if bytes.len() > MAX_LINE_BYTES {
                return Progress::Broken("an endless line");
            }
            self.line.extend_from_slice(bytes);
            return Progress::Incomplete;
        };
        let (line, rest) = bytes.split_at(end);
        let after = rest.len() - 2;
        let simple = |success| Pending { answer: Answer { success, status: 0, body_bytes: 0 }, missing: 0 };
        let pending = match line.split_first() {
            Some((b'+' | b':', _)) => simple(true),
            Some((b'-', _)) | Some((b'$', b"-1")) => simple(false),
            Some((b'$', digits)) => match parse_number(digits) {
                Some(length) => {
                    let answer = Answer { success: true, status: 0, body_bytes: length };
                    Pending { answer, missing: length + 2 }
                }
                None => return Progress::Broken("a bad length of a bulk string"),
            },
            _ => return Progress::Broken("no answer of a kind that was asked for"),
        };
        self.continue_bulk(pending, after)
    }

    fn continue_bulk(&mut self, pending: Pending, arrived: usize) -> Progress {
        let (rest, progress) = pending.take(arrived);
        self.bulk = rest;
        progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(success: bool, body_bytes: usize) -> Progress {
        Progress::Complete(Answer { success, status: 0, body_bytes })
    }

    #[test]
    fn each_kind_of_answer_is_read() {
        let mut reader = RespReader::default();
        for (bytes, expected) in [
            (&b"+OK\r\n"[..], complete(true, 0)),
            (b":12\r\n", complete(true, 0)),
            (b"$5\r\nhello\r\n", complete(true, 5)),
            (b"$0\r\n\r\n", complete(true, 0)),
            (b"$-1\r\n", complete(false, 0)),
            (b"-ERR wrong\r\n", complete(false, 0)),
        ] {
            assert_eq!(reader.feed(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn an_answer_cut_at_any_place_is_complete_with_its_last_byte() {
        let bytes = b"$12\r\nhello\r\nworld\r\n";
        for cut in 1..bytes.len() {
            let mut reader = RespReader::default();
            assert_eq!(reader.feed(&bytes[..cut]), Progress::Incomplete, "{cut}");
            assert_eq!(reader.feed(&bytes[cut..]), complete(true, 12), "{cut}");
        }
    }

    #[test]
    fn what_cannot_be_counted_is_broken() {
        for bytes in
            [&b"*1\r\n+a\r\n"[..], b"$x\r\n", b"+OK\r\n+OK\r\n", b"\r\n", &[b'+'; MAX_LINE_BYTES + 1]]
        {
            let progress = RespReader::default().feed(bytes);
            assert!(matches!(progress, Progress::Broken(_)), "{progress:?}");
        }
    }
}
