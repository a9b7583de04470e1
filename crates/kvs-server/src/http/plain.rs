//! Answers to plain reads, written as bytes.
//!
//! They are the answers that `http::read` gives, field for field; a test compares the two on the wire. Whatever is not
//! simply a value or its absence is left to it.

use kvs_core::path::Path;
use kvs_store::clock::Clock;

use crate::answer::{Answer, HTTP_DATE_BYTES, http_date};
use crate::connection::plain_head::PlainRead;
use crate::http::door::Door;
use crate::http::read;
use crate::limits::{ANSWER_PIECE_BYTES_MAX, CACHED_READS_PER_SAMPLE};
use crate::problem::Problem;
use crate::request_id::RequestId;
use crate::routes::Family;

const VALUE_START: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-cache\r\nx-request-id: ";
const ABSENT_START: &[u8] =
    b"HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\nx-request-id: ";

/// What became of a plain read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// Its answer was written.
    Answered,
    /// The full path must answer it; nothing was written.
    HandOver,
}

/// Answers the plain reads of one connection.
pub(crate) struct PlainAnswers<'a> {
    door: &'a Door,
    /// The date of the answers, and the tick of the coarse clock that it was made at.
    date: [u8; HTTP_DATE_BYTES],
    date_tick: u64,
}

impl<'a> PlainAnswers<'a> {
    /// No date yet: the coarse clock is never at 0.
    pub(crate) const fn new(door: &'a Door) -> Self {
        Self { door, date: [b' '; HTTP_DATE_BYTES], date_tick: 0 }
    }

    /// Writes the answer to a read into `out`. May wait for the disk.
    pub(crate) fn answer(&mut self, read: &PlainRead<'_>, out: &mut Vec<u8>) -> Plain {
        if !self.door.knows_host(read.host) {
            return Plain::HandOver;
        }
        let (node, number) = (self.door.node(), self.door.next_number());
        let id = self.door.id(number);
        let sample = number.is_multiple_of(CACHED_READS_PER_SAMPLE).then(|| node.clock.monotonic());
        if let Some(answer) = read::cached(node, read.raw_path) {
            if answer.len() > ANSWER_PIECE_BYTES_MAX {
                return Plain::HandOver;
            }
            self.write_value(&answer, id, out);
            let elapsed = sample.map(|started| node.clock.monotonic().saturating_sub(started));
            node.metrics.count_cached_read(elapsed);
            return Plain::Answered;
        }
        let started = sample.unwrap_or_else(|| node.clock.monotonic());
        let Ok(path) = Path::parse_encoded(read.raw_path.as_bytes()) else { return Plain::HandOver };
        let status = match node.read_pace.run(&node.clock, || read::find(node, &path)) {
            Ok(Some(answer)) if answer.len() <= ANSWER_PIECE_BYTES_MAX => {
                self.write_value(&answer, id, out);
                http::StatusCode::OK
            }
            Ok(None) => {
                self.write_absent(id, out);
                http::StatusCode::NOT_FOUND
            }
            Ok(Some(_)) | Err(_) => return Plain::HandOver,
        };
        let elapsed = node.clock.monotonic().saturating_sub(started);
        node.metrics.count_request(Family::KvGet, status, elapsed);
        Plain::Answered
    }

    fn write_value(&mut self, answer: &Answer, id: RequestId, out: &mut Vec<u8>) {
        let tail = answer.tail();
        out.reserve(VALUE_START.len() + tail.len() + 64);
        out.extend_from_slice(VALUE_START);
        self.write_id_and_date(id, out);
        out.extend_from_slice(tail);
    }

    fn write_absent(&mut self, id: RequestId, out: &mut Vec<u8>) {
        let body = Problem::no_such_key().to_json();
        out.extend_from_slice(ABSENT_START);
        self.write_id_and_date(id, out);
        out.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        out.extend_from_slice(&body);
    }

    fn write_id_and_date(&mut self, id: RequestId, out: &mut Vec<u8>) {
        out.extend_from_slice(&id.digits());
        out.extend_from_slice(b"\r\ndate: ");
        out.extend_from_slice(self.date());
        out.extend_from_slice(b"\r\n");
    }

    /// The date, to within a tick of the coarse clock.
    fn date(&mut self) -> &[u8; HTTP_DATE_BYTES] {
        let node = self.door.node();
        let tick = node.registry.coarse_ms();
        if tick != self.date_tick {
            self.date_tick = tick;
            if let Some(date) = http_date(node.clock.now_ms()).as_bytes().first_chunk() {
                self.date = *date;
            }
        }
        &self.date
    }
}
