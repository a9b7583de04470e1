//! The frames of `swim` calls, and their translation for the failure detector.
//!
//! A body carries the hash of the sender's member list and any number of frames; the answer to a call carries what
//! the detector sent back to the caller, so that a probe is one exchange. A frame names the life it is meant for by
//! four bytes only: the connection leads there already, and an idle cluster sends little else.
//!
//! | bytes | field of a body |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 8 | hash of the sender's list |
//! | 2 + n each | frames: length, bytes; at most `FRAMES_MAX` |
//!
//! | bytes | field of a frame |
//! | --- | --- |
//! | 1 | kind: 0 ping, 1 ack, 2 ping request, 3 indirect ping, 4 indirect ack, 5 forwarded ack, 6 announce, 7 feed, 8 gossip, 9 broadcast, 10 you are taken for dead |
//! | 24 + 2 | the sender's life and incarnation |
//! | 4 | check of the receiver's life |
//! | 1 | probe number, kinds 0 to 5 |
//! | 24 | target or origin, kinds 2 to 5 |
//! | 2 | number of updates; left out where nothing follows |
//! | 24 + 2 + 1 each | life, incarnation, standing: 1 alive, 2 suspect, 3 down |

use bytes::{Buf, BufMut, Bytes};
use foca::{Header, Message, State};
use kvs_core::cursor::Cursor;
use uuid::Uuid;

use crate::membership::life::{LIFE_BYTES, Life};
use crate::membership::settings::FRAMES_MAX;
use crate::membership::wire::{WireError, ended};

const VERSION: u8 = 1;
const DESTINATION_AT: usize = 1 + LIFE_BYTES + 2;
const UPDATE_BYTES: usize = LIFE_BYTES + 3;
const HEADER_BYTES_MAX: usize = DESTINATION_AT + LIFE_BYTES + 1 + LIFE_BYTES;

/// The detector's own bytes: as on the wire, but with the receiver's life in full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameCodec;

fn put_life(life: &Life, buf: &mut impl BufMut) {
    buf.put_slice(&life.bytes());
}

fn take_life(buf: &mut impl Buf) -> Result<Life, WireError> {
    let mut bytes = [0; LIFE_BYTES];
    buf.try_copy_to_slice(&mut bytes).map_err(|_| WireError::EndsEarly)?;
    Ok(Life::decode(&mut Cursor::new(&bytes))?)
}

fn take_u8(buf: &mut impl Buf) -> Result<u8, WireError> {
    buf.try_get_u8().map_err(|_| WireError::EndsEarly)
}

fn take_u16(buf: &mut impl Buf) -> Result<u16, WireError> {
    buf.try_get_u16().map_err(|_| WireError::EndsEarly)
}

/// The kind's number, the probe and the third life that a message names.
const fn parts(message: &Message<Life>) -> (u8, Option<u8>, Option<Life>) {
    match *message {
        Message::Ping(probe) => (0, Some(probe), None),
        Message::Ack(probe) => (1, Some(probe), None),
        Message::PingReq { target, probe_number } => (2, Some(probe_number), Some(target)),
        Message::IndirectPing { origin, probe_number } => (3, Some(probe_number), Some(origin)),
        Message::IndirectAck { target, probe_number } => (4, Some(probe_number), Some(target)),
        Message::ForwardedAck { origin, probe_number } => (5, Some(probe_number), Some(origin)),
        Message::Announce => (6, None, None),
        Message::Feed => (7, None, None),
        Message::Gossip => (8, None, None),
        Message::Broadcast => (9, None, None),
        Message::TurnUndead => (10, None, None),
    }
}

impl foca::Codec<Life> for FrameCodec {
    type Error = WireError;

    fn encode_header(&mut self, header: &Header<Life>, mut buf: impl BufMut) -> Result<(), WireError> {
        if buf.remaining_mut() < HEADER_BYTES_MAX {
            return Err(WireError::TooMany("bytes of a frame"));
        }
        let (kind, probe, third) = parts(&header.message);
        buf.put_u8(kind);
        put_life(&header.src, &mut buf);
        buf.put_u16(header.src_incarnation);
        put_life(&header.dst, &mut buf);
        if let Some(probe) = probe {
            buf.put_u8(probe);
        }
        if let Some(third) = third {
            put_life(&third, &mut buf);
        }
        Ok(())
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Life>, WireError> {
        let kind = take_u8(&mut buf)?;
        let src = take_life(&mut buf)?;
        let src_incarnation = take_u16(&mut buf)?;
        let dst = take_life(&mut buf)?;
        let probe_number = if kind <= 5 { take_u8(&mut buf)? } else { 0 };
        let message = match kind {
            0 => Message::Ping(probe_number),
            1 => Message::Ack(probe_number),
            2 => Message::PingReq { target: take_life(&mut buf)?, probe_number },
            3 => Message::IndirectPing { origin: take_life(&mut buf)?, probe_number },
            4 => Message::IndirectAck { target: take_life(&mut buf)?, probe_number },
            5 => Message::ForwardedAck { origin: take_life(&mut buf)?, probe_number },
            6 => Message::Announce,
            7 => Message::Feed,
            8 => Message::Gossip,
            9 => Message::Broadcast,
            10 => Message::TurnUndead,
            _ => return Err(WireError::Field("kind")),
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(&mut self, member: &foca::Member<Life>, mut buf: impl BufMut) -> Result<(), WireError> {
        if buf.remaining_mut() < UPDATE_BYTES {
            return Err(WireError::TooMany("bytes of a frame"));
        }
        put_life(member.id(), &mut buf);
        buf.put_u16(member.incarnation());
        buf.put_u8(match member.state() {
            State::Alive => 1,
            State::Suspect => 2,
            State::Down => 3,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<foca::Member<Life>, WireError> {
        let life = take_life(&mut buf)?;
        let incarnation = take_u16(&mut buf)?;
        let state = match take_u8(&mut buf)? {
            1 => State::Alive,
            2 => State::Suspect,
            3 => State::Down,
            _ => return Err(WireError::Field("standing")),
        };
        Ok(foca::Member::new(life, incarnation, state))
    }
}

/// A frame, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) header: Header<Life>,
    pub(crate) updates: Vec<foca::Member<Life>>,
}

impl Frame {
    /// The third life that it names.
    pub(crate) const fn third(&self) -> Option<Life> {
        parts(&self.header.message).2
    }

    /// Reads the detector's own bytes.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, WireError> {
        use foca::Codec;
        let mut codec = FrameCodec;
        let header = codec.decode_header(&mut bytes)?;
        let mut updates = Vec::new();
        if !bytes.is_empty() {
            let count = take_u16(&mut bytes)?;
            // Each takes bytes of the frame, whose size is bounded: a lying count ends early.
            for _ in 0..count {
                updates.push(codec.decode_member(&mut bytes)?);
            }
        }
        ended(&Cursor::new(bytes))?;
        Ok(Self { header, updates })
    }

    /// The detector's own bytes of it.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, WireError> {
        use foca::Codec;
        let mut codec = FrameCodec;
        let mut bytes = Vec::with_capacity(HEADER_BYTES_MAX + 2 + self.updates.len() * UPDATE_BYTES);
        codec.encode_header(&self.header, &mut bytes)?;
        if !self.updates.is_empty() {
            bytes.extend_from_slice(&u16::try_from(self.updates.len()).unwrap_or_default().to_be_bytes());
            for update in &self.updates {
                codec.encode_member(update, &mut bytes)?;
            }
        }
        Ok(bytes)
    }
}

/// Appends one frame of the detector to a body, in the bytes of the wire.
fn put_frame(frame: &[u8], out: &mut Vec<u8>) {
    let mut cursor = Cursor::new(frame);
    let Ok(front) = cursor.take(DESTINATION_AT) else { return };
    let Ok(destination) = Life::decode(&mut cursor) else { return };
    // A probe or its answer without updates, which is all that an idle cluster sends, ends at the probe's number.
    let is_probe = matches!(front.first(), Some(0 | 1));
    let rest = match cursor.rest() {
        [_, 0, 0] if is_probe => cursor.rest().get(..1).unwrap_or_default(),
        rest => rest,
    };
    let Ok(len) = u16::try_from(front.len() + 4 + rest.len()) else { return };
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(front);
    out.extend_from_slice(&destination.check().to_be_bytes());
    out.extend_from_slice(rest);
}

/// A body of these frames.
pub(crate) fn encode_body(hash: u64, frames: &[Bytes]) -> Bytes {
    let mut out = vec![VERSION];
    out.extend_from_slice(&hash.to_be_bytes());
    for frame in frames.iter().take(FRAMES_MAX) {
        put_frame(frame, &mut out);
    }
    out.into()
}

/// A frame as it travels: without its destination, of which only the check is there.
struct Addressed<'a> {
    check: u32,
    front: &'a [u8],
    rest: &'a [u8],
}

impl Addressed<'_> {
    /// Reads it as a frame to this life.
    fn read_for(&self, destination: &Life) -> Result<Frame, WireError> {
        let mut whole = self.front.to_vec();
        whole.extend_from_slice(&destination.bytes());
        whole.extend_from_slice(self.rest);
        Frame::decode(&whole)
    }
}

/// Reads a body: the sender's hash, and the frames that are meant for this life.
pub(crate) fn decode_body(bytes: &[u8], own: &Life) -> Result<(u64, Vec<Frame>), WireError> {
    let (hash, frames) = split_body(bytes)?;
    let own_frames = frames.iter().filter(|frame| frame.check == own.check());
    let frames = own_frames.map(|frame| frame.read_for(own)).collect::<Result<_, _>>()?;
    Ok((hash, frames))
}

/// Whether bytes are a body, for whichever life its frames are meant.
pub(crate) fn check_body(bytes: &[u8]) -> Result<(), WireError> {
    let anybody = Life { node: Uuid::nil(), generation: 0, rejoins: 0 };
    split_body(bytes)?.1.iter().try_for_each(|frame| frame.read_for(&anybody).map(drop))
}

fn split_body(bytes: &[u8]) -> Result<(u64, Vec<Addressed<'_>>), WireError> {
    let mut cursor = Cursor::new(bytes);
    match cursor.u8()? {
        VERSION => {}
        version => return Err(WireError::UnknownVersion(version)),
    }
    let hash = cursor.u64()?;
    let mut frames = Vec::new();
    while !cursor.rest().is_empty() {
        if frames.len() == FRAMES_MAX {
            return Err(WireError::TooMany("frames"));
        }
        let len = usize::from(cursor.u16()?);
        let mut frame = Cursor::new(cursor.take(len)?);
        let front = frame.take(DESTINATION_AT)?;
        frames.push(Addressed { check: frame.u32()?, front, rest: frame.rest() });
    }
    Ok((hash, frames))
}

#[cfg(test)]
mod tests {
    use super::{Frame, decode_body, encode_body};
    use crate::membership::life::Life;
    use foca::{Header, Member, Message, State};
    use proptest::prelude::{Strategy, any, proptest};
    use uuid::Uuid;

    fn lives() -> impl Strategy<Value = Life> {
        any::<(u128, u32, u32)>().prop_map(|(node, generation, rejoins)| Life {
            node: Uuid::from_u128(node),
            generation,
            rejoins,
        })
    }

    fn frames() -> impl Strategy<Value = Frame> {
        let updates = proptest::collection::vec((lives(), any::<u16>(), 0_usize..3), 0..5);
        ((lives(), lives(), lives()), 0..11, any::<(u8, u16)>(), updates).prop_map(
            |(ids, kind, numbers, updates)| {
                let (probe_number, src_incarnation) = numbers;
                let message = match kind {
                    0 => Message::Ping(probe_number),
                    1 => Message::Ack(probe_number),
                    2 => Message::PingReq { target: ids.2, probe_number },
                    3 => Message::IndirectPing { origin: ids.2, probe_number },
                    4 => Message::IndirectAck { target: ids.2, probe_number },
                    5 => Message::ForwardedAck { origin: ids.2, probe_number },
                    6 => Message::Announce,
                    7 => Message::Feed,
                    8 => Message::Gossip,
                    9 => Message::Broadcast,
                    _ => Message::TurnUndead,
                };
                let states = [State::Alive, State::Suspect, State::Down];
                let updates = updates
                    .into_iter()
                    .map(|(life, number, state)| Member::new(life, number, states[state]))
                    .collect();
                Frame { header: Header { src: ids.0, src_incarnation, dst: ids.1, message }, updates }
            },
        )
    }

    proptest! {
        #[test]
        fn a_body_reads_back_at_whom_it_is_meant_for(hash in any::<u64>(), frame in frames(), stranger in lives()) {
            let body = encode_body(hash, &[frame.encode().unwrap().into()]);
            let dst = frame.header.dst;
            assert_eq!(decode_body(&body, &dst), Ok((hash, vec![frame])));
            if stranger.check() != dst.check() {
                assert_eq!(decode_body(&body, &stranger), Ok((hash, vec![])));
            }
        }

        #[test]
        fn no_bytes_panic_the_reader(own in lives(), kind in 0_u8..12, tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut frame = vec![kind];
            frame.extend_from_slice(&own.bytes());
            frame.extend_from_slice(&[0, 0]);
            frame.extend_from_slice(&own.check().to_be_bytes());
            frame.extend_from_slice(&tail);
            let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, 0];
            body.extend_from_slice(&u16::try_from(frame.len()).unwrap().to_be_bytes());
            body.extend_from_slice(&frame);
            drop(decode_body(&body, &own));
            drop(decode_body(&tail, &own));
        }
    }

    #[test]
    fn an_idle_probe_is_small() {
        let life = Life { node: Uuid::nil(), generation: 1, rejoins: 0 };
        let header = Header { src: life, src_incarnation: 0, dst: life, message: Message::Ping(1) };
        let frame = Frame { header, updates: Vec::new() };
        assert_eq!(encode_body(0, &[frame.encode().unwrap().into()]).len(), 43);
    }
}
