//! The answer to a `GET` of one key, framed once and then handed out as often as it is asked for.
//!
//! Cloning one costs a reference count, and sending it neither formats nor copies anything.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;
use kvs_core::record::Record;
use uuid::Uuid;

/// The latest moment that an HTTP date can say: the end of the year 9999, in seconds since 1970.
const HTTP_DATE_S_MAX: u64 = 253_402_300_799;

/// A value ready to be sent.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The version, as conditions compare it.
    pub(crate) uuid: Uuid,
    /// When the value expires, ms since 1970; 0 for never.
    pub(crate) expires_at_ms: u64,
    /// The version in quotes.
    pub(crate) etag: HeaderValue,
    /// When it was written, to the second.
    pub(crate) last_modified: HeaderValue,
    /// The JSON object of the contract.
    pub(crate) body: Bytes,
}

impl Answer {
    /// Frames a live record, whose JSON bytes are `data`.
    pub(crate) fn frame(record: &Record, data: &[u8]) -> Self {
        let mut body = BytesMut::with_capacity(data.len() + 128);
        write_version(&mut body, record);
        body.put_slice(b",\"data\":");
        body.put_slice(data);
        write_expiry(&mut body, record);
        body.put_u8(b'}');
        Self {
            uuid: record.version.uuid,
            expires_at_ms: record.expires_at_ms,
            etag: etag(record.version.uuid),
            last_modified: http_date(record.version.stamp.ms),
            body: body.freeze(),
        }
    }

    /// Whether a reader at `now_ms` still sees it.
    pub(crate) const fn is_live(&self, now_ms: u64) -> bool {
        self.expires_at_ms == 0 || now_ms < self.expires_at_ms
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
    let mut tag = BytesMut::with_capacity(38);
    tag.put_u8(b'"');
    tag.put_slice(uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
    tag.put_u8(b'"');
    header(tag.freeze())
}

fn http_date(ms: u64) -> HeaderValue {
    let moment: SystemTime = UNIX_EPOCH + Duration::from_secs((ms / 1000).min(HTTP_DATE_S_MAX));
    header(Bytes::from(httpdate::fmt_http_date(moment)))
}

/// Texts of this file are printable ASCII, so they are always valid values.
fn header(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Answer, http_date, write_text};
    use bytes::{Bytes, BytesMut};
    use kvs_core::digest::ContentDigest;
    use kvs_core::origin::{Dot, Origin};
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
    fn the_body_is_the_contracts_with_the_data_as_sent() {
        let answer = Answer::frame(&record(7, 1_672_531_200_000, 0), b" {\"a\" :1.0}\n");
        assert_eq!(
            answer.body,
            "{\"uuid\":\"00000000-0000-0000-0000-000000000007\",\"timestamp\":1672531200000,\"data\": {\"a\" :1.0}\n}"
        );
        assert_eq!(answer.etag, "\"00000000-0000-0000-0000-000000000007\"");
        assert_eq!(answer.last_modified, "Sun, 01 Jan 2023 00:00:00 GMT");
        assert!(answer.is_live(u64::MAX));
    }

    #[test]
    fn an_expiry_is_told_and_kept() {
        let answer = Answer::frame(&record(7, 1000, 2000), b"null");
        assert!(answer.body.ends_with(b",\"data\":null,\"expires_at\":2000}"));
        assert!(answer.is_live(1999));
        assert!(!answer.is_live(2000));
    }

    #[test]
    fn no_stamp_is_too_late_for_a_date() {
        assert_eq!(http_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn texts_are_escaped() {
        let mut out = BytesMut::new();
        write_text(&mut out, "a\"\\\u{1}ü");
        assert_eq!(out, "\"a\\\"\\\\\\u0001ü\"");
    }
}
