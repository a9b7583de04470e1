//! The messages of `members` calls: exchanges of lists, and asking a third node whether a member still answers.
//!
//! Every message begins with version 3 and a tag. (Version 1 knew whole lists only, version 2 no sums.)
//!
//! | request | bytes | field |
//! | --- | --- | --- |
//! | tag 1, exchange | 1 | flags: 1 asks to be admitted, 2 a list follows, 4 ages follow, 16 rows follow, 32 asks for the list where it differs, 64 sums follow |
//! | | 8 | how long the process runs, ms |
//! | | 8 | hash of the sender's list |
//! | | n | the sender's own row |
//! | | n | the list, without the sender, where flagged |
//! | | n | some rows, in the form of a list, where flagged |
//! | | 8 + 2 + 2 each | hash of the uuids, ages in seconds (all ones for more) in ascending order of uuid, the sender's own included, where flagged |
//! | | 2 + 8 each | sums of the parts of the list, the sender's own row included, where flagged (`sums.rs`) |
//! | tag 2, check | 16 | node: does its address still accept connections? |
//! | tag 3, notice | 16 + 2 + 8 + 16 | you are forgotten: the sender's node, its side's weight |
//!
//! | reply | bytes | field |
//! | --- | --- | --- |
//! | tag 1, exchanged | 1 | flags: 1 the sender is admitted, 2 a list follows, 4 ages follow, 8 all its seeds answered, 16 rows follow, 64 sums follow |
//! | | 8 | join time given to the asker; 0 for none |
//! | | 8 | which of the rows in the request were news, the first by the lowest bit; those beyond 64 are not told |
//! | | 8 | how long the process runs, ms |
//! | | 8 | hash of the sender's list after it merged the request |
//! | | n, n, n, n, n | own row, list, rows, ages, sums as above |
//! | tag 2, checked | 1 | 0 cannot tell, 1 it answered, 2 it refused |
//! | tag 3, stop | 2 + n | the reason, for the operator |
//! | tag 4, forgotten | 16 + 2 + 8 + 16 | the sender's node, its side's weight |
//! | tag 5, yourself | | the call reached the process that made it |
//! | tag 6, later | | not now |
//!
//! A weight is the number of members not forgotten (2), the earliest join time among them (8) and its uuid (16).

use bytes::Bytes;
use kvs_core::cursor::Cursor;
use uuid::Uuid;

use crate::membership::record::{Row, decode_rows, encode_rows};
use crate::membership::settings::MEMBERS_MAX;
use crate::membership::sums::Sums;
use crate::membership::wire::{WireError, ended};

const VERSION: u8 = 3;
const ASKS_ADMISSION: u8 = 1;
const IS_ADMITTED: u8 = 1;
const HAS_LIST: u8 = 2;
const HAS_AGES: u8 = 4;
const IS_SETTLED: u8 = 8;
const HAS_ROWS: u8 = 16;
const WANTS_LIST: u8 = 32;
const HAS_SUMS: u8 = 64;
const REASON_BYTES_MAX: usize = 1024;

/// Whether the bytes of an exchange, a request or its reply, carry the sender's whole list.
pub(crate) const fn has_list(bytes: &[u8]) -> bool {
    matches!(bytes, [VERSION, 1, flags, ..] if *flags & HAS_LIST != 0)
}

/// What both ways of an exchange carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) uptime_ms: u64,
    pub(crate) hash: u64,
    pub(crate) own: Row,
    /// The whole list.
    pub(crate) list: Option<Vec<Row>>,
    /// Some rows: those that changed lately, or those that the other side does not have.
    pub(crate) rows: Option<Vec<Row>>,
    pub(crate) ages: Option<Ages>,
    /// The sums of its list, to find what differs.
    pub(crate) sums: Option<Sums>,
}

/// When everyone was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ages {
    /// Hash of the uuids that these are about.
    pub(crate) nodes: u64,
    /// Seconds in ascending order of uuid; [`u16::MAX`] for more.
    pub(crate) seconds: Vec<u16>,
}

/// How much a side of a cluster weighs that has forgotten another side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) members: u16,
    pub(crate) joined_ms: u64,
    pub(crate) node: Uuid,
}

impl Weight {
    /// More members, else the earlier join time, else the smaller uuid.
    pub(crate) fn outweighs(&self, other: &Self) -> bool {
        let key = |weight: &Self| (u16::MAX - weight.members, weight.joined_ms, weight.node);
        key(self) < key(other)
    }
}

/// What a node asks with a `members` call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    Exchange { asks_admission: bool, wants_list: bool, exchange: Exchange },
    Check { node: Uuid },
    Notice { teller: Uuid, weight: Weight },
}

/// What a third node found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    Unclear = 0,
    Answered = 1,
    Refused = 2,
}

/// What is answered to a `members` call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Exchanged {
        is_admitted: bool,
        is_settled: bool,
        admitted_ms: u64,
        /// Which of the rows in the request were news, the first by the lowest bit.
        news: u64,
        exchange: Exchange,
    },
    Checked(Finding),
    Stop(String),
    Forgotten {
        teller: Uuid,
        weight: Weight,
    },
    Yourself,
    Later,
    /// A later start of the asker is known than its own: it goes on from there.
    Behind {
        generation: u32,
    },
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

impl Exchange {
    fn flags(&self) -> u8 {
        flag(self.list.is_some(), HAS_LIST)
            | flag(self.ages.is_some(), HAS_AGES)
            | flag(self.rows.is_some(), HAS_ROWS)
            | flag(self.sums.is_some(), HAS_SUMS)
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.uptime_ms.to_be_bytes());
        out.extend_from_slice(&self.hash.to_be_bytes());
        self.own.encode_into(out);
        if let Some(rows) = &self.list {
            encode_rows(rows, out);
        }
        if let Some(rows) = &self.rows {
            encode_rows(rows, out);
        }
        if let Some(ages) = &self.ages {
            out.extend_from_slice(&ages.nodes.to_be_bytes());
            let ages = &ages.seconds;
            let ages = ages.get(..ages.len().min(MEMBERS_MAX)).unwrap_or_default();
            out.extend_from_slice(&u16::try_from(ages.len()).unwrap_or_default().to_be_bytes());
            for age in ages {
                out.extend_from_slice(&age.to_be_bytes());
            }
        }
        if let Some(sums) = &self.sums {
            sums.encode_into(out);
        }
    }

    fn decode(flags: u8, cursor: &mut Cursor<'_>) -> Result<Self, WireError> {
        let (uptime_ms, hash) = (cursor.u64()?, cursor.u64()?);
        let own = Row::decode(cursor)?;
        let list = if flags & HAS_LIST != 0 { Some(decode_rows(cursor)?) } else { None };
        let rows = if flags & HAS_ROWS != 0 { Some(decode_rows(cursor)?) } else { None };
        let ages = if flags & HAS_AGES != 0 { Some(decode_ages(cursor)?) } else { None };
        let sums = if flags & HAS_SUMS != 0 { Some(Sums::decode(cursor)?) } else { None };
        Ok(Self { uptime_ms, hash, own, list, rows, ages, sums })
    }
}

fn decode_ages(cursor: &mut Cursor<'_>) -> Result<Ages, WireError> {
    let nodes = cursor.u64()?;
    let count = usize::from(cursor.u16()?);
    if count > MEMBERS_MAX {
        return Err(WireError::TooMany("ages"));
    }
    let seconds = (0..count).map(|_| cursor.u16().map_err(WireError::from)).collect::<Result<_, _>>()?;
    Ok(Ages { nodes, seconds })
}

fn put_weight(teller: Uuid, weight: &Weight, out: &mut Vec<u8>) {
    out.extend_from_slice(teller.as_bytes());
    out.extend_from_slice(&weight.members.to_be_bytes());
    out.extend_from_slice(&weight.joined_ms.to_be_bytes());
    out.extend_from_slice(weight.node.as_bytes());
}

fn take_weight(cursor: &mut Cursor<'_>) -> Result<(Uuid, Weight), WireError> {
    let teller = cursor.uuid()?;
    let members = cursor.u16()?;
    Ok((teller, Weight { members, joined_ms: cursor.u64()?, node: cursor.uuid()? }))
}

fn opened<'a>(bytes: &'a [u8]) -> Result<(u8, Cursor<'a>), WireError> {
    let mut cursor = Cursor::new(bytes);
    match cursor.u8()? {
        VERSION => Ok((cursor.u8()?, cursor)),
        version => Err(WireError::UnknownVersion(version)),
    }
}

impl Ask {
    /// Its bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Self::Exchange { asks_admission, wants_list, exchange } => {
                let flags = flag(*asks_admission, ASKS_ADMISSION) | flag(*wants_list, WANTS_LIST);
                out.extend_from_slice(&[1, flags | exchange.flags()]);
                exchange.encode_into(&mut out);
            }
            Self::Check { node } => {
                out.push(2);
                out.extend_from_slice(node.as_bytes());
            }
            Self::Notice { teller, weight } => {
                out.push(3);
                put_weight(*teller, weight, &mut out);
            }
        }
        out.into()
    }

    /// Reads one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (tag, mut cursor) = opened(bytes)?;
        let ask = match tag {
            1 => {
                let flags = cursor.u8()?;
                if flags & !(ASKS_ADMISSION | HAS_LIST | HAS_AGES | HAS_ROWS | WANTS_LIST | HAS_SUMS) != 0 {
                    return Err(WireError::Field("flags"));
                }
                let exchange = Exchange::decode(flags, &mut cursor)?;
                let (asks_admission, wants_list) = (flags & ASKS_ADMISSION != 0, flags & WANTS_LIST != 0);
                Self::Exchange { asks_admission, wants_list, exchange }
            }
            2 => Self::Check { node: cursor.uuid()? },
            3 => {
                let (teller, weight) = take_weight(&mut cursor)?;
                Self::Notice { teller, weight }
            }
            _ => return Err(WireError::Field("tag")),
        };
        ended(&cursor).map(|()| ask)
    }
}

impl Answer {
    /// Its bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Self::Exchanged { is_admitted, is_settled, admitted_ms, news, exchange } => {
                let flags =
                    flag(*is_admitted, IS_ADMITTED) | flag(*is_settled, IS_SETTLED) | exchange.flags();
                out.extend_from_slice(&[1, flags]);
                out.extend_from_slice(&admitted_ms.to_be_bytes());
                out.extend_from_slice(&news.to_be_bytes());
                exchange.encode_into(&mut out);
            }
            Self::Checked(finding) => out.extend_from_slice(&[2, *finding as u8]),
            Self::Stop(reason) => {
                out.push(3);
                let reason: String = reason.chars().take(REASON_BYTES_MAX / 4).collect();
                out.extend_from_slice(&u16::try_from(reason.len()).unwrap_or_default().to_be_bytes());
                out.extend_from_slice(reason.as_bytes());
            }
            Self::Forgotten { teller, weight } => {
                out.push(4);
                put_weight(*teller, weight, &mut out);
            }
            Self::Yourself => out.push(5),
            Self::Later => out.push(6),
            Self::Behind { generation } => {
                out.push(7);
                out.extend_from_slice(&generation.to_be_bytes());
            }
        }
        out.into()
    }

    /// Reads one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (tag, mut cursor) = opened(bytes)?;
        let answer = match tag {
            1 => {
                let flags = cursor.u8()?;
                if flags & !(IS_ADMITTED | IS_SETTLED | HAS_LIST | HAS_AGES | HAS_ROWS | HAS_SUMS) != 0 {
                    return Err(WireError::Field("flags"));
                }
                let (admitted_ms, news) = (cursor.u64()?, cursor.u64()?);
                let exchange = Exchange::decode(flags, &mut cursor)?;
                let (is_admitted, is_settled) = (flags & IS_ADMITTED != 0, flags & IS_SETTLED != 0);
                Self::Exchanged { is_admitted, is_settled, admitted_ms, news, exchange }
            }
            2 => Self::Checked(match cursor.u8()? {
                0 => Finding::Unclear,
                1 => Finding::Answered,
                2 => Finding::Refused,
                _ => return Err(WireError::Field("finding")),
            }),
            3 => {
                let len = usize::from(cursor.u16()?);
                if len > REASON_BYTES_MAX {
                    return Err(WireError::TooMany("bytes of a reason"));
                }
                let reason =
                    std::str::from_utf8(cursor.take(len)?).map_err(|_| WireError::Field("reason"))?;
                Self::Stop(reason.chars().filter(|character| !character.is_control()).collect())
            }
            4 => {
                let (teller, weight) = take_weight(&mut cursor)?;
                Self::Forgotten { teller, weight }
            }
            5 => Self::Yourself,
            6 => Self::Later,
            7 => Self::Behind { generation: cursor.u32()? },
            _ => return Err(WireError::Field("tag")),
        };
        ended(&cursor).map(|()| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ages, Answer, Ask, Exchange, Finding, VERSION, Weight};
    use crate::membership::record::tests::rows;
    use crate::membership::sums::tests::sums;
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use uuid::Uuid;

    fn exchanges() -> impl Strategy<Value = Exchange> {
        let list = || proptest::option::of(proptest::collection::vec(rows(), 0..4));
        let ages = (any::<u64>(), proptest::collection::vec(any::<u16>(), 0..4));
        let ages = proptest::option::of(ages.prop_map(|(nodes, seconds)| Ages { nodes, seconds }));
        let sums = proptest::option::of(sums());
        (any::<(u64, u64)>(), rows(), list(), list(), ages, sums).prop_map(
            |((uptime_ms, hash), own, list, rows, ages, sums)| Exchange {
                uptime_ms,
                hash,
                own,
                list,
                rows,
                ages,
                sums,
            },
        )
    }

    fn weights() -> impl Strategy<Value = (Uuid, Weight)> {
        any::<(u128, u16, u64, u128)>().prop_map(|(teller, members, joined_ms, node)| {
            (Uuid::from_u128(teller), Weight { members, joined_ms, node: Uuid::from_u128(node) })
        })
    }

    proptest! {
        #[test]
        fn asks_read_back(ask in prop_oneof![
            (any::<(bool, bool)>(), exchanges()).prop_map(|((asks_admission, wants_list), exchange)| {
                Ask::Exchange { asks_admission, wants_list, exchange }
            }),
            any::<u128>().prop_map(|node| Ask::Check { node: Uuid::from_u128(node) }),
            weights().prop_map(|(teller, weight)| Ask::Notice { teller, weight }),
        ]) {
            assert_eq!(Ask::decode(&ask.encode()), Ok(ask));
        }

        #[test]
        fn answers_read_back(answer in prop_oneof![
            (any::<(bool, bool, u64, u64)>(), exchanges()).prop_map(|((is_admitted, is_settled, admitted_ms, news), exchange)| {
                Answer::Exchanged { is_admitted, is_settled, admitted_ms, news, exchange }
            }),
            prop_oneof![Just(Finding::Unclear), Just(Finding::Answered), Just(Finding::Refused)].prop_map(Answer::Checked),
            "[a-zé ]{0,300}".prop_map(|reason| Answer::Stop(reason.chars().take(250).collect())),
            weights().prop_map(|(teller, weight)| Answer::Forgotten { teller, weight }),
            Just(Answer::Yourself),
            any::<u32>().prop_map(|generation| Answer::Behind { generation }),
            Just(Answer::Later),
        ]) {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }

        #[test]
        fn no_bytes_panic_the_readers(tag in 0_u8..9, mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            bytes.splice(0..0, [VERSION, tag]);
            drop(Ask::decode(&bytes));
            drop(Answer::decode(&bytes));
        }

        #[test]
        fn of_two_sides_exactly_one_outweighs(a in weights(), b in weights()) {
            assert_eq!(a.1.outweighs(&b.1), a.1 != b.1 && !b.1.outweighs(&a.1));
        }
    }
}
