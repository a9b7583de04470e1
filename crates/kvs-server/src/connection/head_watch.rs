//! Sees on the wire what the HTTP/1 parser hides: a head with both `Transfer-Encoding` and `Content-Length`, and a target
//! with a fragment.
//!
//! No target has a fragment. The parser cuts it off, so that `/kv/a#1` and `/kv/a#2` would both be the key `a`.
//!
//! As for the lengths, the parser takes the chunked length, drops the other field and ends the connection after the answer, so nothing can
//! be smuggled through it alone; but a proxy in front may have believed the other length, so such a request must not be
//! served at all. This watch follows the framing just far enough to find the heads: lines up to an empty one, then as many
//! bytes as `Content-Length` says. Behind a `Transfer-Encoding` it stops: such a request is the last one of its
//! connection, which the handler of requests sees to.
//!
//! It only ever adds a refusal. Where it reads the framing differently from the parser, the parser's reading counts and
//! its rule of ending the connection still holds.
//!
//! Source: RFC 9112 sections 3.2 and 6.1.

/// Bytes of a line that are kept when it comes in pieces: the longest name, blanks and 20 digits.
const LINE_KEPT_BYTES: usize = 64;

/// Follows one connection.
#[derive(Debug)]
pub(crate) struct HeadWatch {
    place: Place,
    /// The current line, as far as earlier reads brought it; at most [`LINE_KEPT_BYTES`].
    kept: Vec<u8>,
    /// Bytes of the current line beyond what was kept.
    is_cut: bool,
    lines: u64,
    has_transfer_encoding: bool,
    content_length: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    Body {
        left: u64,
    },
    /// Nothing further on this connection is followed.
    Ended,
}

/// What was seen; nothing to tell by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// A head with two lengths, or with one that cannot be followed.
    pub(crate) ambiguous_length: bool,
    /// A request line with a number sign.
    pub(crate) fragment: bool,
}

impl Sight {
    const CLEAR: Self = Self { ambiguous_length: false, fragment: false };
    const AMBIGUOUS_LENGTH: Self = Self { ambiguous_length: true, fragment: false };
    const FRAGMENT: Self = Self { ambiguous_length: false, fragment: true };

    const fn and(self, other: Self) -> Self {
        Self {
            ambiguous_length: self.ambiguous_length || other.ambiguous_length,
            fragment: self.fragment || other.fragment,
        }
    }
}

impl HeadWatch {
    /// Starts where a head starts.
    pub(crate) const fn new() -> Self {
        Self {
            place: Place::Head,
            kept: Vec::new(),
            is_cut: false,
            lines: 0,
            has_transfer_encoding: false,
            content_length: None,
        }
    }

    /// Follows bytes as they were read.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) -> Sight {
        let mut sight = Sight::CLEAR;
        while !bytes.is_empty() {
            match self.place {
                Place::Ended => break,
                Place::Body { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let left = left - here as u64;
                    self.place = if left == 0 { Place::Head } else { Place::Body { left } };
                    bytes = bytes.get(here..).unwrap_or_default();
                }
                Place::Head => {
                    let end = memchr::memchr(b'\n', bytes);
                    let (line, rest) =
                        end.and_then(|end| bytes.split_at_checked(end)).unwrap_or((bytes, &[]));
                    // All of the request line, also what is not kept of it.
                    if self.lines == 0 && memchr::memchr(b'#', line).is_some() {
                        sight = sight.and(Sight::FRAGMENT);
                    }
                    if end.is_none() {
                        self.keep(bytes);
                        break;
                    }
                    bytes = rest.get(1..).unwrap_or_default();
                    if self.kept.is_empty() {
                        sight = sight.and(self.line(line, LineEnd::Whole));
                    } else {
                        self.keep(line);
                        let kept = std::mem::take(&mut self.kept);
                        let end = if self.is_cut { LineEnd::Cut } else { LineEnd::Whole };
                        sight = sight.and(self.line(&kept, end));
                        self.is_cut = false;
                    }
                }
            }
        }
        sight
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = LINE_KEPT_BYTES.saturating_sub(self.kept.len());
        self.is_cut |= piece.len() > room;
        self.kept.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    /// One line of a head, without its newline.
    fn line(&mut self, line: &[u8], end: LineEnd) -> Sight {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() && end == LineEnd::Whole {
            // Empty lines before a request line are skipped.
            return if self.lines == 0 { Sight::CLEAR } else { self.end_of_head() };
        }
        self.lines += 1;
        // The request line has no colon behind a name of a field; a first look at one byte spares most lines.
        if self.lines == 1 || !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return Sight::CLEAR;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Sight::CLEAR };
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.has_transfer_encoding = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value.get(1..).unwrap_or_default()).map(str::trim);
            match digits.map(str::parse) {
                Ok(Ok(length)) if end == LineEnd::Whole => self.content_length = Some(length),
                _ => {
                    self.place = Place::Ended;
                    return Sight::AMBIGUOUS_LENGTH;
                }
            }
        }
        Sight::CLEAR
    }

    fn end_of_head(&mut self) -> Sight {
        let ambiguous = self.has_transfer_encoding && self.content_length.is_some();
        self.place = match self.content_length {
            _ if self.has_transfer_encoding => Place::Ended,
            Some(left) if left > 0 => Place::Body { left },
            _ => Place::Head,
        };
        self.lines = 0;
        self.has_transfer_encoding = false;
        self.content_length = None;
        if ambiguous { Sight::AMBIGUOUS_LENGTH } else { Sight::CLEAR }
    }
}

/// Whether a line is known to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Whole,
    Cut,
}

#[cfg(test)]
mod tests {
    use super::{HeadWatch, Sight};

    /// Feeds `wire` in reads of every size and expects one verdict.
    fn sight(wire: &str) -> Sight {
        let verdicts: Vec<Sight> = (1..=wire.len())
            .map(|size| {
                let mut watch = HeadWatch::new();
                let sights: Vec<Sight> =
                    wire.as_bytes().chunks(size).map(|read| watch.follow(read)).collect();
                sights.into_iter().fold(Sight::CLEAR, Sight::and)
            })
            .collect();
        assert!(verdicts.windows(2).all(|pair| pair[0] == pair[1]), "{wire:?}: {verdicts:?}");
        verdicts[0]
    }

    #[test]
    fn one_length_is_clear() {
        assert_eq!(sight("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Sight::CLEAR);
        assert_eq!(sight("PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), Sight::CLEAR);
        assert_eq!(
            sight("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            Sight::CLEAR
        );
    }

    #[test]
    fn two_lengths_are_seen_in_either_order_and_any_case() {
        for fields in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding:chunked\r\ncontent-length:3\r\n",
            "TRANSFER-ENCODING: chunked\nX: y\nCONTENT-LENGTH: 3\n",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(
                sight(&format!("PUT / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")),
                Sight::AMBIGUOUS_LENGTH,
                "{fields}"
            );
        }
    }

    #[test]
    fn bodies_are_passed_over_so_that_the_next_head_is_found() {
        let first =
            "PUT /a HTTP/1.1\r\nContent-Length: 40\r\n\r\n\r\n\r\nTransfer-Encoding: x\r\nContent-Length:";
        let second = "PUT /b HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(first.len(), 40 + 40);
        assert_eq!(sight(first), Sight::CLEAR);
        assert_eq!(sight(&format!("{first}{second}")), Sight::AMBIGUOUS_LENGTH);
        assert_eq!(sight(&format!("\r\n{first}\r\n{second}")), Sight::AMBIGUOUS_LENGTH);
    }

    #[test]
    fn lengths_of_two_requests_do_not_add_up() {
        let chunked = "PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(sight(&format!("PUT /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx{chunked}")), Sight::CLEAR);
    }

    #[test]
    fn a_length_that_cannot_be_followed_is_refused() {
        for length in ["abc", "", "-1", "99999999999999999999999", &format!("{}5", " ".repeat(80))] {
            let wire = format!("PUT / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
            let mut watch = HeadWatch::new();
            if length.len() > 60 {
                // Only when it comes in pieces; whole lines are read whatever their length.
                let (start, rest) = wire.split_at(30);
                watch.follow(start.as_bytes());
                assert_eq!(watch.follow(rest.as_bytes()), Sight::AMBIGUOUS_LENGTH);
            } else {
                assert_eq!(sight(&wire), Sight::AMBIGUOUS_LENGTH, "{length:?}");
            }
        }
    }

    #[test]
    fn a_number_sign_is_seen_in_request_lines_alone() {
        let long = "x".repeat(500);
        for target in ["/a#b", "#", "/a?b#", "http://a/#b", &format!("/{long}#{long}")] {
            assert_eq!(
                sight(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")),
                Sight::FRAGMENT,
                "{target}"
            );
        }
        let other = "PUT /a%23b HTTP/1.1\r\nX: #\r\n#: #\r\nContent-Length: 3\r\n\r\n#\n#";
        assert_eq!(sight(other), Sight::CLEAR);
        assert_eq!(sight(&format!("{other}GET /#a HTTP/1.1\r\n\r\n")), Sight::FRAGMENT);
        let both = "PUT /#a HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(sight(both), Sight { ambiguous_length: true, fragment: true });
    }

    #[test]
    fn long_lines_are_followed_without_being_kept() {
        let long = "x".repeat(5000);
        let wire = format!("GET /{long} HTTP/1.1\r\nCookie: {long}\r\nTe: {long}\r\n\r\n");
        assert_eq!(sight(&wire), Sight::CLEAR);
    }
}
