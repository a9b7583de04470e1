//! The answer to a `GET` of one key, framed once and then handed out as often as it is asked for.
//!
//! Everything that an answer needs lies in one piece of memory, reference count included, so that a cached answer costs as
//! few cache misses as can be: reading a hundred thousand different ones is bound by memory, not by work.
//!
//! | bytes | what |
//! | --- | --- |
//! | n | the path |
//! | 6 + 38 + 2 | `etag: "UUID"` and the end of the line |
//! | 15 + 29 + 2 | `last-modified: DATE` and the end of the line |
//! | 16 + n + 4 | `content-length: N` and the end of the head |
//! | rest | the JSON object of the contract |

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;
use kvs_core::path::Path;
use kvs_core::record::Record;
use uuid::Uuid;

/// The latest moment that an HTTP date can say: the end of the year 9999, in seconds since 1970.
const HTTP_DATE_S_MAX: u64 = 253_402_300_799;

const ETAG_NAME: &[u8] = b"etag: ";
const ETAG_BYTES: usize = 38;
const LAST_MODIFIED_NAME: &[u8] = b"\r\nlast-modified: ";
/// Length of every HTTP date.
pub(crate) const HTTP_DATE_BYTES: usize = 29;
const LENGTH_NAME: &[u8] = b"\r\ncontent-length: ";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A value ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    frame: Arc<[u8]>,
    path_bytes: u16,
    body_start: u16,
    /// When the value expires, ms since 1970; 0 for never.
    expires_at_ms: u64,
}

/// A frame as the owner of bytes.
struct FrameBytes(Arc<[u8]>);

impl AsRef<[u8]> for FrameBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The parts of an answer as an HTTP library takes them.
pub(crate) struct AnswerParts {
    /// The version in quotes.
    pub(crate) etag: HeaderValue,
    /// When it was written, to the second.
    pub(crate) last_modified: HeaderValue,
    /// The JSON object of the contract.
    pub(crate) body: Bytes,
}

impl Answer {
    /// Frames a live record of `path`, whose JSON bytes are `data`.
    pub(crate) fn frame(path: &Path, record: &Record, data: &[u8]) -> Self {
        let mut body = BytesMut::with_capacity(data.len() + 128);
        write_version(&mut body, record);
        body.put_slice(b",\"data\":");
        body.put_slice(data);
        write_expiry(&mut body, record);
        body.put_u8(b'}');
        let path = path.as_bytes();
        let mut frame = BytesMut::with_capacity(path.len() + body.len() + 160);
        frame.put_slice(path);
        frame.put_slice(ETAG_NAME);
        write_etag(&mut frame, record.version.uuid);
        frame.put_slice(LAST_MODIFIED_NAME);
        frame.put_slice(http_date(record.version.stamp.ms).as_bytes());
        frame.put_slice(LENGTH_NAME);
        write_number(&mut frame, body.len() as u64);
        frame.put_slice(END_OF_HEAD);
        // A path has at most 1,024 bytes and the fields have fewer than 200.
        let place = |bytes: usize| u16::try_from(bytes).unwrap_or_default();
        let (path_bytes, body_start) = (place(path.len()), place(frame.len()));
        frame.put_slice(&body);
        Self { frame: Arc::from(&frame[..]), path_bytes, body_start, expires_at_ms: record.expires_at_ms }
    }

    /// Whether it is the answer for this decoded path.
    pub(crate) fn is_for(&self, path: &[u8]) -> bool {
        self.frame.get(..usize::from(self.path_bytes)) == Some(path)
    }

    /// Whether a reader at the time that `now_ms` tells still sees it; the clock is read for values that expire only.
    pub(crate) fn is_live(&self, now_ms: impl FnOnce() -> u64) -> bool {
        self.expires_at_ms == 0 || now_ms() < self.expires_at_ms
    }

    /// The version, as conditions compare it.
    pub(crate) fn uuid(&self) -> Uuid {
        let start = self.etag_start() + 1;
        // Written by this file.
        self.frame
            .get(start..start + ETAG_BYTES - 2)
            .and_then(|text| Uuid::try_parse_ascii(text).ok())
            .unwrap_or_default()
    }

    /// The header fields of the version, the length of the body, the end of the head, and the body: what follows the
    /// other fields in an answer as it stands on the wire.
    pub(crate) fn tail(&self) -> &[u8] {
        self.frame.get(usize::from(self.path_bytes)..).unwrap_or_default()
    }

    /// The JSON object of the contract.
    pub(crate) fn body(&self) -> &[u8] {
        self.frame.get(usize::from(self.body_start)..).unwrap_or_default()
    }

    /// Everything in parts; shares the frame's memory.
    pub(crate) fn parts(&self) -> AnswerParts {
        let frame = Bytes::from_owner(FrameBytes(Arc::clone(&self.frame)));
        let etag = self.etag_start();
        let date = etag + ETAG_BYTES + LAST_MODIFIED_NAME.len();
        AnswerParts {
            etag: header(frame.slice(etag..etag + ETAG_BYTES)),
            last_modified: header(frame.slice(date..date + HTTP_DATE_BYTES)),
            body: frame.slice(usize::from(self.body_start)..),
        }
    }

    /// Bytes that it takes in memory.
    pub(crate) fn len(&self) -> usize {
        self.frame.len()
    }

    fn etag_start(&self) -> usize {
        usize::from(self.path_bytes) + ETAG_NAME.len()
    }
}

/// Opens an object with the version's members: `{"uuid":"...","timestamp":N`.
pub(crate) fn write_version(out: &mut BytesMut, record: &Record) {
    out.put_u8(b'{');
    write_version_members(out, record.version.uuid, record.version.stamp.ms);
}

/// `"uuid":"...","timestamp":N`.
pub(crate) fn write_version_members(out: &mut BytesMut, uuid: Uuid, timestamp_ms: u64) {
    out.put_slice(b"\"uuid\":\"");
    out.put_slice(uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
    out.put_slice(b"\",\"timestamp\":");
    write_number(out, timestamp_ms);
}

/// `,"expires_at":N` where there is an expiry.
pub(crate) fn write_expiry(out: &mut BytesMut, record: &Record) {
    if record.expires_at_ms != 0 {
        out.put_slice(b",\"expires_at\":");
        write_number(out, record.expires_at_ms);
    }
}

/// A whole number in decimal.
pub(crate) fn write_number(out: &mut BytesMut, number: u64) {
    out.put_slice(number.to_string().as_bytes());
}

/// A text as a JSON string.
pub(crate) fn write_text(out: &mut BytesMut, text: &str) {
    // Writing a string to memory does not fail.
    serde_json::to_writer(out.writer(), text).unwrap_or_default();
}

/// The entity tag of a version.
pub(crate) fn etag(uuid: Uuid) -> HeaderValue {
    let mut tag = BytesMut::with_capacity(ETAG_BYTES);
    write_etag(&mut tag, uuid);
    header(tag.freeze())
}

fn write_etag(out: &mut BytesMut, uuid: Uuid) {
    out.put_u8(b'"');
    out.put_slice(uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
    out.put_u8(b'"');
}

/// The HTTP date of a time in ms since 1970; always [`HTTP_DATE_BYTES`] long.
pub(crate) fn http_date(ms: u64) -> String {
    let moment: SystemTime = UNIX_EPOCH + Duration::from_secs((ms / 1000).min(HTTP_DATE_S_MAX));
    httpdate::fmt_http_date(moment)
}

/// Texts of this file are printable ASCII, so they are always valid values.
fn header(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Answer, HTTP_DATE_BYTES, http_date, write_text};
    use bytes::{Bytes, BytesMut};
    use kvs_core::digest::ContentDigest;
    use kvs_core::origin::{Dot, Origin};
    use kvs_core::path::Path;
    use kvs_core::record::{Kind, Payload, Principal, Record};
    use kvs_core::stamp::Stamp;
    use kvs_core::version::Version;
    use uuid::Uuid;

    /// A live record.
    pub(crate) fn record(uuid: u128, ms: u64, expires_at_ms: u64) -> Record {
        Record {
            version: Version { stamp: Stamp::at(ms), origin_joined_ms: 1, uuid: Uuid::from_u128(uuid) },
            dot: Dot { origin: Origin { node: Uuid::from_u128(1), epoch: 1 }, seq: 1 },
            kind: Kind::Value,
            expires_at_ms,
            author: Principal::nobody(),
            owner: Principal::nobody(),
            digest: ContentDigest::of(b"1"),
            payload: Payload::Raw(Bytes::from_static(b"1")),
        }
    }

    #[test]
    fn the_parts_come_back_out_of_the_frame() {
        let path = Path::parse("a/ü").unwrap();
        let answer = Answer::frame(&path, &record(7, 1_672_531_200_000, 0), b" {\"a\" :1.0}\n");
        let body = "{\"uuid\":\"00000000-0000-0000-0000-000000000007\",\"timestamp\":1672531200000,\"data\": {\"a\" :1.0}\n}";
        let parts = answer.parts();
        assert_eq!((answer.body(), &parts.body[..]), (body.as_bytes(), body.as_bytes()));
        assert_eq!(parts.etag, "\"00000000-0000-0000-0000-000000000007\"");
        assert_eq!(answer.uuid(), Uuid::from_u128(7));
        assert_eq!(parts.last_modified, "Sun, 01 Jan 2023 00:00:00 GMT");
        assert!(answer.is_for(path.as_bytes()) && !answer.is_for(b"a/u") && !answer.is_for(b"a"));
        assert!(answer.is_live(|| panic!("a value that does not expire needs no clock")));
        let tail = format!(
            "etag: \"00000000-0000-0000-0000-000000000007\"\r\nlast-modified: Sun, 01 Jan 2023 00:00:00 GMT\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(answer.tail(), tail.as_bytes());
    }

    #[test]
    fn the_longest_path_leaves_every_part_in_its_place() {
        let path = Path::parse(&"ü".repeat(512)).unwrap();
        let answer = Answer::frame(&path, &record(7, 1, 0), b"1");
        assert!(answer.is_for(path.as_bytes()));
        assert_eq!((answer.uuid(), answer.parts().body.first()), (Uuid::from_u128(7), Some(&b'{')));
    }

    #[test]
    fn an_expiry_is_told_and_kept() {
        let answer = Answer::frame(&Path::parse("a").unwrap(), &record(7, 1000, 2000), b"null");
        assert!(answer.body().ends_with(b",\"data\":null,\"expires_at\":2000}"));
        assert!(answer.is_live(|| 1999));
        assert!(!answer.is_live(|| 2000));
    }

    #[test]
    fn every_date_has_the_same_length() {
        assert_eq!(http_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        for ms in [0, 1, 951_782_400_000, 1_795_311_107_199, u64::MAX] {
            assert_eq!(http_date(ms).len(), HTTP_DATE_BYTES);
        }
    }

    #[test]
    fn texts_are_escaped() {
        let mut out = BytesMut::new();
        write_text(&mut out, "a\"\\\u{1}ü");
        assert_eq!(out, "\"a\\\"\\\\\\u0001ü\"");
    }
}
