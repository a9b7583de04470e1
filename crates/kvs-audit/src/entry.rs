//! An entry: an event at its place in the chain, as one line of JSON.
//!
//! ```text
//! {"seq":7,"time_ms":1700000000000,"event":"put","who":"…","path":"a/b","result":"ok","prev":"<64 hex>","hash":"<64 hex>"}
//! ```
//!
//! Members stand in this order: `seq`, `time_ms`, `event`, `who`, `path`, `subject`, `result`, `request_id`, `version`,
//! `origin_seq`, `detail`, `prev`, `hash`; those that an event does not have are left out. `hash` is over the exact bytes
//! before `,"hash":"`, so no two spellings of one JSON value have the same hash, and nothing needs to be put into a normal
//! form to be checked. The end of a line, from `,"prev":"` on, has a fixed length and is found from behind.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::event::{Event, Outcome};
use crate::hash::{EntryHash, HASH_HEX_LEN};
use crate::limits::{
    DETAIL_BYTES_MAX, PATH_BYTES_MAX, REASON_BYTES_MAX, REQUEST_ID_BYTES_MAX, SUBJECT_BYTES_MAX,
    WHO_BYTES_MAX,
};

const PREV_MARK: &[u8] = b",\"prev\":\"";
const HASH_MARK: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}";

/// What stands at the end of a text that was cut.
const CUT: &str = "…";

/// The members that an event brings, in their order.
#[derive(Serialize)]
struct Members<'a> {
    seq: u64,
    time_ms: u64,
    event: &'static str,
    who: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'a, str>>,
    result: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'a, str>>,
}

/// Appends the entry's line with its line break to `out`; returns the entry's hash.
///
/// # Errors
///
/// Never with the texts of an [`Event`]; the encoder's signature has one, and nothing is appended then.
pub(crate) fn push_line(
    out: &mut Vec<u8>,
    seq: u64,
    event: &Event<'_>,
    prev: EntryHash,
) -> Result<EntryHash, serde_json::Error> {
    let start = out.len();
    let members = Members {
        seq,
        time_ms: event.time_ms,
        event: event.kind.name(),
        who: bounded(event.who, WHO_BYTES_MAX),
        path: event.path.map(|path| bounded(path, PATH_BYTES_MAX)),
        subject: event.subject.map(|subject| bounded(subject, SUBJECT_BYTES_MAX)),
        result: result_text(event.outcome),
        request_id: event.request_id.map(|id| bounded(id, REQUEST_ID_BYTES_MAX)),
        version: event.version.map(|version| version.to_string()),
        origin_seq: event.origin_seq,
        detail: event.detail.map(|detail| bounded(detail, DETAIL_BYTES_MAX)),
    };
    if let Err(error) = serde_json::to_writer(&mut *out, &members) {
        out.truncate(start);
        return Err(error);
    }
    // The members' closing brace makes room for what binds them.
    out.pop();
    out.extend_from_slice(PREV_MARK);
    prev.push_hex(out);
    out.push(b'"');
    let hash = EntryHash::of(out.get(start..).unwrap_or_default());
    out.extend_from_slice(HASH_MARK);
    hash.push_hex(out);
    out.extend_from_slice(END);
    out.push(b'\n');
    Ok(hash)
}

fn result_text(outcome: Outcome<'_>) -> Cow<'_, str> {
    match outcome {
        Outcome::Done => Cow::Borrowed("ok"),
        Outcome::Refused(reason) => Cow::Owned(format!("refused: {}", bounded(reason, REASON_BYTES_MAX))),
        Outcome::Failed(reason) => Cow::Owned(format!("failed: {}", bounded(reason, REASON_BYTES_MAX))),
    }
}

/// The text if it has at most `bytes_max` bytes, else its beginning with a mark, no longer than that.
fn bounded(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let mut end = bytes_max.saturating_sub(CUT.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}{CUT}", text.get(..end).unwrap_or_default()))
}

/// An entry as it was read. Its texts are those of the file: whoever prints them takes care of control characters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// Its number; the first entry of a trail has 1.
    pub seq: u64,
    /// When, in milliseconds since 1970-01-01 UTC by the node's clock.
    pub time_ms: u64,
    /// The name of the event's kind; a later version may know more of them.
    pub event: String,
    /// The principal's name; empty for nobody.
    pub who: String,
    /// The key that it is about.
    pub path: Option<String>,
    /// What it is about when that is no key.
    pub subject: Option<String>,
    /// `ok`, or `refused: …` or `failed: …` with the reason.
    pub result: String,
    /// The id of the request that asked for it.
    pub request_id: Option<String>,
    /// The version that was written.
    pub version: Option<String>,
    /// The number that the write has among those of this node.
    pub origin_seq: Option<u64>,
    /// Whatever else is known.
    pub detail: Option<String>,
}

/// A line that is an entry in shape, with what it says of itself and what is computed from it.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// What it tells.
    pub(crate) entry: Entry,
    /// The hash that it names as the one of the entry before it.
    pub(crate) prev: EntryHash,
    /// The hash that it names as its own.
    pub(crate) stated: EntryHash,
    /// The hash that it has.
    pub(crate) computed: EntryHash,
}

impl Line {
    /// Whether its bytes are those that were hashed.
    pub(crate) fn is_whole(&self) -> bool {
        self.stated == self.computed
    }
}

/// Reads a line without its line break.
///
/// # Errors
///
/// Why it is no entry.
pub(crate) fn parse_line(line: &[u8]) -> Result<Line, &'static str> {
    let rest = line.strip_suffix(END).ok_or("it does not end as an entry does")?;
    let (head, stated) = split_hash(rest, HASH_MARK).ok_or("it has no hash at its end")?;
    let unquoted = head.strip_suffix(b"\"").ok_or("it has no hash of the entry before it")?;
    let (_, prev) = split_hash(unquoted, PREV_MARK).ok_or("it has no hash of the entry before it")?;
    let entry: Entry = serde_json::from_slice(line).map_err(|_| "it is not the JSON of an entry")?;
    Ok(Line { entry, prev, stated, computed: EntryHash::of(head) })
}

/// What stands before `mark` and 64 hex digits at the end of `bytes`, and the hash that these are.
fn split_hash<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], EntryHash)> {
    let (rest, hex) = bytes.split_at_checked(bytes.len().checked_sub(HASH_HEX_LEN)?)?;
    Some((rest.strip_suffix(mark)?, EntryHash::from_hex(hex)?))
}

#[cfg(test)]
mod tests {
    use super::{parse_line, push_line};
    use crate::event::{Event, EventKind, Outcome};
    use crate::hash::EntryHash;
    use crate::limits::LINE_BYTES_MAX;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn line(seq: u64, event: &Event<'_>, prev: EntryHash) -> (Vec<u8>, EntryHash) {
        let mut out = Vec::new();
        let hash = push_line(&mut out, seq, event, prev).expect("encodable");
        assert_eq!(out.pop(), Some(b'\n'));
        (out, hash)
    }

    #[test]
    fn the_format_is_this_one() {
        let event = Event {
            path: Some("a/b"),
            request_id: Some("r1"),
            version: Some(Uuid::nil()),
            origin_seq: Some(4),
            ..Event::new(1_700_000_000_000, EventKind::Put, "root")
        };
        let (line, _) = line(7, &event, EntryHash::GENESIS);
        let expected = format!(
            "{{\"seq\":7,\"time_ms\":1700000000000,\"event\":\"put\",\"who\":\"root\",\"path\":\"a/b\",\
             \"result\":\"ok\",\"request_id\":\"r1\",\"version\":\"00000000-0000-0000-0000-000000000000\",\
             \"origin_seq\":4,\"prev\":\"{}\",\"hash\":\"{}\"}}",
            "0".repeat(64),
            "e2220cef1441d89ffbbefc1e0b64df8d6ba9d77c4e3d040760b3bad3ca385962"
        );
        assert_eq!(String::from_utf8_lossy(&line), expected);
    }

    #[test]
    fn the_longest_texts_fit_into_a_line() {
        let long = "\u{1}".repeat(5000);
        let event = Event {
            path: Some(&long),
            subject: Some(&long),
            outcome: Outcome::Refused(&long),
            request_id: Some(&long),
            version: Some(Uuid::max()),
            origin_seq: Some(u64::MAX),
            detail: Some(&long),
            ..Event::new(u64::MAX, EventKind::PeerCheckpoint, &long)
        };
        let (line, _) = line(u64::MAX, &event, EntryHash::GENESIS);
        assert!(line.len() < LINE_BYTES_MAX, "{}", line.len());
        assert!(parse_line(&line).is_ok());
    }

    #[test]
    fn a_member_that_looks_like_the_end_is_text() {
        let fake = format!("\",\"prev\":\"{0}\",\"hash\":\"{0}\"}}\n", "a".repeat(64));
        let event = Event { detail: Some(&fake), ..Event::new(1, EventKind::Denied, &fake) };
        let (line, hash) = line(1, &event, EntryHash::GENESIS);
        assert!(!line.contains(&b'\n'));
        let read = parse_line(&line).expect("an entry");
        assert_eq!((read.prev, read.stated, read.computed), (EntryHash::GENESIS, hash, hash));
        assert_eq!(read.entry.detail.as_deref(), Some(fake.as_str()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            seq: u64, time_ms: u64, who in ".{0,300}", path in proptest::option::of(".{0,1100}"), reason in ".{0,20}",
        ) {
            let event = Event {
                path: path.as_deref(),
                outcome: Outcome::Failed(&reason),
                ..Event::new(time_ms, EventKind::Delete, &who)
            };
            let (line, hash) = line(seq, &event, EntryHash::of(b"before"));
            let read = parse_line(&line).expect("an entry");
            prop_assert_eq!((read.entry.seq, read.entry.time_ms), (seq, time_ms));
            prop_assert_eq!((read.prev, read.stated, read.is_whole()), (EntryHash::of(b"before"), hash, true));
            let uncut = read.entry.who == who;
            prop_assert!(uncut || (who.len() > 255 && read.entry.who.len() <= 255 && read.entry.who.ends_with('…')));
            prop_assert_eq!(read.entry.result, format!("failed: {reason}"));
        }

        #[test]
        fn any_bytes_are_an_entry_or_refused(line in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(parse_line(&line));
        }
    }
}
