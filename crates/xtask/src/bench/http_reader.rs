//! Reads the answers of HTTP/1.1 servers, as little of them as counting needs: status and `Content-Length`.
//!
//! Bodies are counted, not kept. Chunked answers are refused: no target sends them for a body of known size, and a
//! benchmark should notice when one begins to.

use crate::bench::answer::{Answer, Pending, Progress};

/// A head longer than this is broken.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The state between two pieces of one answer.
#[derive(Default)]
pub(crate) struct HttpReader {
    /// A head that has not ended yet.
    head: Vec<u8>,
    /// A body that has not ended yet.
    body: Option<Pending>,
}

impl HttpReader {
    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Progress {
        if let Some(pending) = self.body.take() {
            let (rest, progress) = pending.take(bytes.len());
            self.body = rest;
            return progress;
        }
        // The usual case first: a whole head in one piece, read where it lies.
        if self.head.is_empty() {
            return self.feed_head(bytes);
        }
        let mut head = std::mem::take(&mut self.head);
        head.extend_from_slice(bytes);
        self.feed_head(&head)
    }

    /// Takes everything from the first byte of the answer on.
    fn feed_head(&mut self, bytes: &[u8]) -> Progress {
        match parse_head(bytes) {
            Err(reason) => Progress::Broken(reason),
            Ok(None) if bytes.len() > MAX_HEAD_BYTES => Progress::Broken("an endless head"),
            Ok(None) => {
                self.head.extend_from_slice(bytes);
                Progress::Incomplete
            }
            Ok(Some((answer, head_bytes))) => {
                let arrived = bytes.len() - head_bytes;
                let (rest, progress) = Pending { answer, missing: answer.body_bytes }.take(arrived);
                self.body = rest;
                progress
            }
        }
    }
}

/// Reads a head in one pass, line by line; gives the answer and the length of the head with its empty line, or `None`
/// when the empty line has not arrived.
fn parse_head(bytes: &[u8]) -> Result<Option<(Answer, usize)>, &'static str> {
    let mut rest = bytes;
    let mut status = None;
    let mut length = None;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at(end);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        rest = after.get(1..).unwrap_or_default();
        match status {
            None => status = Some(parse_status(line).ok_or("no HTTP/1.x status line")?),
            Some(status) if line.is_empty() => {
                let bodiless = status == 204 || status == 304;
                let body_bytes = if bodiless { 0 } else { length.ok_or("no Content-Length")? };
                let answer = Answer { success: (200..300).contains(&status), status, body_bytes };
                return Ok(Some((answer, bytes.len() - rest.len())));
            }
            Some(_) => {
                if let Some(value) = value_of(line, b"content-length:") {
                    length = Some(parse_number(value).ok_or("a bad Content-Length")?);
                } else if value_of(line, b"transfer-encoding:").is_some() {
                    return Err("a chunked answer");
                }
            }
        }
    }
    Ok(None)
}

fn parse_status(line: &[u8]) -> Option<u16> {
    let digits = line.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    parse_number(digits).and_then(|status| u16::try_from(status).ok())
}

/// The value of a header line when its name (in lower case, with the colon) is this one.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// A decimal number of at most nine digits.
pub(crate) fn parse_number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nDate: x\r\ncontent-LENGTH: 5\r\n\r\nhello";

    fn complete(status: u16, body_bytes: usize) -> Progress {
        Progress::Complete(Answer { success: status < 300, status, body_bytes })
    }

    #[test]
    fn an_answer_in_one_piece_is_complete_and_the_next_one_too() {
        let mut reader = HttpReader::default();
        assert_eq!(reader.feed(OK), complete(200, 5));
        assert_eq!(reader.feed(OK), complete(200, 5));
    }

    #[test]
    fn an_answer_cut_at_any_place_is_complete_with_its_last_byte() {
        for cut in 1..OK.len() {
            let mut reader = HttpReader::default();
            assert_eq!(reader.feed(&OK[..cut]), Progress::Incomplete, "{cut}");
            assert_eq!(reader.feed(&OK[cut..]), complete(200, 5), "{cut}");
        }
        let mut reader = HttpReader::default();
        let (last, others) = OK.split_last().unwrap();
        for byte in others {
            assert_eq!(reader.feed(&[*byte]), Progress::Incomplete);
        }
        assert_eq!(reader.feed(&[*last]), complete(200, 5));
    }

    #[test]
    fn an_error_status_is_no_success() {
        let mut reader = HttpReader::default();
        assert_eq!(reader.feed(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}"), complete(503, 2));
    }

    #[test]
    fn an_answer_without_a_body_ends_with_its_head() {
        let mut reader = HttpReader::default();
        assert_eq!(reader.feed(b"HTTP/1.1 204 No Content\r\n\r\n"), complete(204, 0));
        assert_eq!(reader.feed(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), complete(200, 0));
    }

    #[test]
    fn what_cannot_be_counted_is_broken() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
            b"SSH-2.0-x\r\n\r\n",
            &[b'x'; MAX_HEAD_BYTES + 1],
        ] {
            let progress = HttpReader::default().feed(bytes);
            assert!(matches!(progress, Progress::Broken(_)), "{progress:?}");
        }
    }
}
