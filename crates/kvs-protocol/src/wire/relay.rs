//! A part of one node's log that a peer of it passes on to others, and what all of them said.
//!
//! The part is the bytes of a [`ReplicateRequest`](crate::wire::replicate::ReplicateRequest), and the answer to it those of a
//! [`ReplicateReply`](crate::wire::replicate::ReplicateReply); this message does not look into either.
//!
//! Request:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 16 | origin: the node whose log it is |
//! | 4 | patience, ms: after this time the answer is made of what there is |
//! | 2 | number of targets |
//! | 16 + 1 + n each | target: node, length of its address, its address |
//! | 4 + n | the part: length, bytes |
//!
//! Reply:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 1 + 4 + n | the answerer's own outcome: 1, length and its answer; or 0, length and a sentence |
//! | 2 | number of others |
//! | 16 + 1 + 4 + n each | other: node, and its outcome in the same form |

use std::time::Duration;

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use uuid::Uuid;

use crate::membership::settings::MEMBERS_MAX;
use crate::wire::decode_error::DecodeError;
use crate::wire::replicate::{take_end, take_version};

const VERSION: u8 = 1;

/// Most nodes that one message asks to pass the part on to.
pub const TARGETS_MAX: usize = MEMBERS_MAX;

/// Largest part that is passed on, in bytes. A larger one goes to each peer by itself: whoever passes it on holds a copy for
/// each branch.
pub const PART_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most bytes of answers in one reply; a node whose answer has no room is told as one that did not answer.
pub const ANSWERS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest sentence about a node that did not answer, in bytes; what is longer is cut.
pub const SENTENCE_BYTES_MAX: usize = 240;

/// Longest address of a target, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 255;

/// Longest message, request or reply, in bytes: what is fixed, the part or the answers, and an address or a sentence for each
/// node, one more for the answerer.
pub const MESSAGE_BYTES_MAX: usize = 64 + PART_BYTES_MAX + (TARGETS_MAX + 1) * (16 + 5 + ADDRESS_BYTES_MAX);

/// A node that the part is passed on to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The node that must answer there.
    pub node: Uuid,
    /// `host:port`, at most [`ADDRESS_BYTES_MAX`] bytes.
    pub address: String,
}

/// Asks to take a part of a log and to pass it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayRequest {
    /// Whose log it is; not always the caller.
    pub origin: Uuid,
    /// After this time the answer is made of what there is; a whole number of milliseconds.
    pub patience: Duration,
    /// Whom it is passed on to; at most [`TARGETS_MAX`], none where the way ends.
    pub targets: Vec<Target>,
    /// The part; at most [`PART_BYTES_MAX`].
    pub part: Bytes,
}

/// What became of a part at one node: its answer, or a sentence that says why there is none. Without an answer the part may
/// have been taken or not.
pub type Outcome = Result<Bytes, String>;

/// What became of a part everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayReply {
    /// At the node that answers.
    pub own: Outcome,
    /// At those that it passed the part on to.
    pub others: Vec<(Uuid, Outcome)>,
}

impl RelayRequest {
    /// Its bytes. What is beyond a bound is not written: the last targets, and the end of an address.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(self.origin.as_bytes());
        let patience_ms = u32::try_from(self.patience.as_millis()).unwrap_or(u32::MAX);
        out.extend_from_slice(&patience_ms.to_be_bytes());
        let targets = self.targets.get(..TARGETS_MAX).unwrap_or(&self.targets);
        put_number(targets.len(), &mut out);
        for target in targets {
            out.extend_from_slice(target.node.as_bytes());
            let address = cut(&target.address, ADDRESS_BYTES_MAX);
            out.push(u8::try_from(address.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(address.as_bytes());
        }
        put_long(&self.part, &mut out);
        out
    }

    /// Reads it; the part stays a part of `bytes`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        take_version(&mut cursor, VERSION)?;
        let origin = cursor.uuid()?;
        let patience = Duration::from_millis(cursor.u32()?.into());
        let count = take_number(&mut cursor, "targets")?;
        let mut targets = Vec::new();
        for _ in 0..count {
            let node = cursor.uuid()?;
            let length = cursor.u8()?;
            let address = String::from_utf8(cursor.take(length.into())?.to_vec());
            targets.push(Target { node, address: address.map_err(|_| DecodeError::Field("address"))? });
        }
        let part = take_long(bytes, &mut cursor, PART_BYTES_MAX, "part")?;
        take_end(&cursor).map(|()| Self { origin, patience, targets, part })
    }
}

impl RelayReply {
    /// Its bytes. Answers that have no room within [`ANSWERS_BYTES_MAX`] are replaced by a sentence, sentences are cut.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let mut room = ANSWERS_BYTES_MAX;
        put_outcome(&self.own, &mut room, &mut out);
        let others = self.others.get(..TARGETS_MAX).unwrap_or(&self.others);
        put_number(others.len(), &mut out);
        for (node, outcome) in others {
            out.extend_from_slice(node.as_bytes());
            put_outcome(outcome, &mut room, &mut out);
        }
        out
    }

    /// Reads it; the answers stay parts of `bytes`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        take_version(&mut cursor, VERSION)?;
        let own = take_outcome(bytes, &mut cursor)?;
        let count = take_number(&mut cursor, "others")?;
        let mut others = Vec::new();
        for _ in 0..count {
            others.push((cursor.uuid()?, take_outcome(bytes, &mut cursor)?));
        }
        take_end(&cursor).map(|()| Self { own, others })
    }
}

/// The longest beginning of `text` that has at most so many bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    let ends = (0..=bytes_max.min(text.len())).rev();
    ends.filter_map(|end| text.get(..end)).next().unwrap_or_default()
}

fn put_number(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

fn take_number(cursor: &mut Cursor<'_>, field: &'static str) -> Result<usize, DecodeError> {
    let count = usize::from(cursor.u16()?);
    if count > TARGETS_MAX { Err(DecodeError::TooMany(field)) } else { Ok(count) }
}

fn put_long(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn take_long(
    message: &Bytes,
    cursor: &mut Cursor<'_>,
    bytes_max: usize,
    field: &'static str,
) -> Result<Bytes, DecodeError> {
    let length = cursor.u32()? as usize;
    if length > bytes_max {
        return Err(DecodeError::TooMany(field));
    }
    Ok(message.slice_ref(cursor.take(length)?))
}

fn put_outcome(outcome: &Outcome, room: &mut usize, out: &mut Vec<u8>) {
    match outcome {
        Ok(answer) if answer.len() <= *room => {
            *room -= answer.len();
            out.push(1);
            put_long(answer, out);
        }
        Ok(_) => {
            out.push(0);
            put_long(b"its answer had no room in the reply", out);
        }
        Err(sentence) => {
            out.push(0);
            put_long(cut(sentence, SENTENCE_BYTES_MAX).as_bytes(), out);
        }
    }
}

fn take_outcome(message: &Bytes, cursor: &mut Cursor<'_>) -> Result<Outcome, DecodeError> {
    match cursor.u8()? {
        0 => {
            let sentence = take_long(message, cursor, SENTENCE_BYTES_MAX, "sentence")?;
            let sentence = String::from_utf8(sentence.to_vec());
            Ok(Err(sentence.map_err(|_| DecodeError::Field("sentence"))?))
        }
        1 => Ok(Ok(take_long(message, cursor, ANSWERS_BYTES_MAX, "answer")?)),
        _ => Err(DecodeError::Field("outcome")),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        ADDRESS_BYTES_MAX, ANSWERS_BYTES_MAX, MESSAGE_BYTES_MAX, Outcome, PART_BYTES_MAX, RelayReply,
        RelayRequest, SENTENCE_BYTES_MAX, TARGETS_MAX, Target,
    };
    use crate::wire::decode_error::DecodeError;
    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use std::time::Duration;
    use uuid::Uuid;

    fn targets() -> impl Strategy<Value = Vec<Target>> {
        let target = (any::<u128>(), "[a-z.:0-9]{0,40}")
            .prop_map(|(node, address)| Target { node: Uuid::from_u128(node), address });
        vec(target, 0..20)
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            vec(any::<u8>(), 0..40).prop_map(|answer| Ok(answer.into())),
            "\\PC{0,40}".prop_map(Err),
            Just(Ok(Bytes::new())),
        ]
    }

    proptest! {
        #[test]
        fn messages_read_back(
            (origin, patience_ms) in any::<(u128, u32)>(),
            targets in targets(),
            part in vec(any::<u8>(), 0..200),
            own in outcome(),
            others in vec((any::<u128>().prop_map(Uuid::from_u128), outcome()), 0..20),
        ) {
            let request = RelayRequest {
                origin: Uuid::from_u128(origin),
                patience: Duration::from_millis(patience_ms.into()),
                targets,
                part: part.into(),
            };
            let mut longer = request.encode();
            assert_eq!(RelayRequest::decode(&longer.clone().into()), Ok(request));
            longer.push(0);
            assert_eq!(RelayRequest::decode(&longer.into()), Err(DecodeError::TrailingBytes));
            let reply = RelayReply { own, others };
            let mut longer = reply.encode();
            assert_eq!(RelayReply::decode(&longer.clone().into()), Ok(reply));
            longer.push(0);
            assert_eq!(RelayReply::decode(&longer.into()), Err(DecodeError::TrailingBytes));
        }

        #[test]
        fn no_bytes_panic_the_readers_and_what_they_take_reads_back(bytes in vec(any::<u8>(), 0..200)) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = 1;
            }
            let bytes = Bytes::from(bytes);
            if let Ok(request) = RelayRequest::decode(&bytes) {
                assert_eq!(request.encode(), bytes);
            }
            if let Ok(reply) = RelayReply::decode(&bytes) {
                assert_eq!(reply.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_request_is_these_bytes() {
        let request = RelayRequest {
            origin: Uuid::from_u128(0xa),
            patience: Duration::from_millis(2000),
            targets: vec![Target { node: Uuid::from_u128(0xb), address: "c:1".into() }],
            part: Bytes::from_static(b"\x07\x08"),
        };
        let hex = concat!(
            "01",
            "0000000000000000000000000000000a",
            "000007d0",
            "0001",
            "0000000000000000000000000000000b",
            "03633a31",
            "000000020708",
        );
        let told: String = request.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(told, hex);
    }

    #[test]
    fn what_is_beyond_a_bound_is_cut_when_written_and_refused_when_read() {
        let target = Target { node: Uuid::from_u128(1), address: "ä".repeat(ADDRESS_BYTES_MAX) };
        let request = RelayRequest {
            origin: Uuid::from_u128(9),
            patience: Duration::MAX,
            targets: vec![target; TARGETS_MAX + 1],
            part: Bytes::new(),
        };
        let mut bytes = request.encode();
        assert!(bytes.len() + PART_BYTES_MAX <= MESSAGE_BYTES_MAX);
        let read = RelayRequest::decode(&bytes.clone().into()).unwrap();
        assert_eq!(read.targets.len(), TARGETS_MAX);
        assert!(read.targets.iter().all(|target| target.address.len() == ADDRESS_BYTES_MAX - 1));
        // Version, origin and patience stand before the number of targets.
        bytes[21..23].copy_from_slice(&u16::try_from(TARGETS_MAX + 1).unwrap().to_be_bytes());
        assert_eq!(RelayRequest::decode(&bytes.into()), Err(DecodeError::TooMany("targets")));

        let sentence = "x".repeat(SENTENCE_BYTES_MAX + 9);
        let large = Ok(Bytes::from(vec![1; ANSWERS_BYTES_MAX]));
        let others = vec![(Uuid::from_u128(1), large.clone()), (Uuid::from_u128(2), Err(sentence))];
        let read = RelayReply::decode(&RelayReply { own: large.clone(), others }.encode().into()).unwrap();
        let others = vec![(Uuid::from_u128(1), Err("x".repeat(SENTENCE_BYTES_MAX))); TARGETS_MAX];
        assert!(RelayReply { own: large.clone(), others }.encode().len() <= MESSAGE_BYTES_MAX);
        assert_eq!(read.own, large);
        let lengths: Vec<_> =
            read.others.iter().map(|(_, outcome)| outcome.as_ref().unwrap_err().len()).collect();
        assert_eq!(lengths, ["its answer had no room in the reply".len(), SENTENCE_BYTES_MAX]);
    }
}
