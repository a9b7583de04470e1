//! The answer to a `GET` of one key, framed once and then handed out as often as it is asked for.
//!
//! Everything that an answer needs lies in one piece of memory, so that a cached answer costs as few cache misses as can
//! be: reading a hundred thousand different ones is bound by memory, not by work. Cloning one costs a reference count.
//!
//! | bytes | what |
//! | --- | --- |
//! | n | the path |
//! | 38 | the entity tag: the version's uuid in quotes |
//! | 29 | the HTTP date of the version |
//! | rest | the JSON object of the contract |

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;
use kvs_auth::rights::Rights;
use kvs_core::path::Path;
use kvs_core::record::Record;
use uuid::Uuid;

/// The latest moment that an HTTP date can say: the end of the year 9999, in seconds since 1970.
const HTTP_DATE_S_MAX: u64 = 253_402_300_799;

const ETAG_BYTES: usize = 38;
const HTTP_DATE_BYTES: usize = 29;

/// A value ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    frame: Bytes,
    path_bytes: u16,
    /// When the value expires, ms since 1970; 0 for never.
    expires_at_ms: u64,
    /// Who may read it; `None` where nobody asks.
    rights: Option<Arc<Rights>>,
}

impl Answer {
    /// Frames a live record of `path`, whose JSON bytes are `data`, for whoever these rights let read it.
    pub(crate) fn frame(path: &Path, record: &Record, data: &[u8], rights: Option<Arc<Rights>>) -> Self {
        let path = path.as_bytes();
        let mut frame = BytesMut::with_capacity(path.len() + ETAG_BYTES + HTTP_DATE_BYTES + data.len() + 128);
        frame.put_slice(path);
        write_etag(&mut frame, record.version.uuid);
        frame.put_slice(http_date(record.version.stamp.ms).as_bytes());
        write_version(&mut frame, record);
        frame.put_slice(b",\"data\":");
        frame.put_slice(data);
        write_expiry(&mut frame, record);
        frame.put_u8(b'}');
        Self {
            // In memory of its exact size: cached answers must not hold more than they are counted for.
            frame: Bytes::from(frame.to_vec().into_boxed_slice()),
            // A path has at most 1,024 bytes.
            path_bytes: u16::try_from(path.len()).unwrap_or_default(),
            expires_at_ms: record.expires_at_ms,
            rights,
        }
    }

    /// Who may read it; `None` where nobody asks.
    pub(crate) const fn rights(&self) -> Option<&Arc<Rights>> {
        self.rights.as_ref()
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
        let etag = self.part(0, ETAG_BYTES);
        // Written by this file.
        etag.get(1..ETAG_BYTES - 1).and_then(|text| Uuid::try_parse_ascii(text).ok()).unwrap_or_default()
    }

    /// The version in quotes.
    pub(crate) fn etag(&self) -> HeaderValue {
        header(self.part(0, ETAG_BYTES))
    }

    /// When it was written, to the second.
    pub(crate) fn last_modified(&self) -> HeaderValue {
        header(self.part(ETAG_BYTES, HTTP_DATE_BYTES))
    }

    /// The JSON object of the contract.
    pub(crate) fn body(&self) -> Bytes {
        self.frame.slice(self.body_start()..)
    }

    /// Bytes that it takes in memory.
    pub(crate) const fn len(&self) -> usize {
        self.frame.len()
    }

    fn body_start(&self) -> usize {
        usize::from(self.path_bytes) + ETAG_BYTES + HTTP_DATE_BYTES
    }

    fn part(&self, behind_path: usize, length: usize) -> Bytes {
        let start = usize::from(self.path_bytes) + behind_path;
        self.frame.slice(start..start + length)
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

/// Always 29 characters.
fn http_date(ms: u64) -> String {
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
        let answer = Answer::frame(&path, &record(7, 1_672_531_200_000, 0), b" {\"a\" :1.0}\n", None);
        let body = "{\"uuid\":\"00000000-0000-0000-0000-000000000007\",\"timestamp\":1672531200000,\"data\": {\"a\" :1.0}\n}";
        assert_eq!(answer.body(), body);
        assert_eq!(answer.etag(), "\"00000000-0000-0000-0000-000000000007\"");
        assert_eq!(answer.uuid(), Uuid::from_u128(7));
        assert_eq!(answer.last_modified(), "Sun, 01 Jan 2023 00:00:00 GMT");
        assert!(answer.is_for(path.as_bytes()) && !answer.is_for(b"a/u") && !answer.is_for(b"a"));
        assert!(answer.is_live(|| panic!("a value that does not expire needs no clock")));
    }

    #[test]
    fn an_expiry_is_told_and_kept() {
        let answer = Answer::frame(&Path::parse("a").unwrap(), &record(7, 1000, 2000), b"null", None);
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
