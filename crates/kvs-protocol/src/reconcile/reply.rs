//! What the answerer says in one round trip.
//!
//! | field | shape |
//! | --- | --- |
//! | format | 1 byte, 3 |
//! | flags | 1 byte: bit 0 opened, bit 1 more tombstones follow, bit 2 another digest key, bit 3 changes, bit 4 all of them |
//! | opened | if flagged: clock in ms, 8 bytes; root above the floor, 8 bytes; vector; end of the log, 16 bytes |
//! | splits | count, then splits as in the request |
//! | few | count, then ranges with ids as in the request |
//! | listed | count; per range asked for: count and bits of ids that are lacking, then 0, or 1 and a bound to go on from |
//! | verdicts | count, then 1 byte per record offered: 0 settled, 1 drop, 2 failed |
//! | records | count, then records as in the request |
//! | tombstones | count, then records |
//! | changes | if flagged: count, then records; position in the log, 16 bytes |

use bytes::Bytes;
use kvs_core::log_position::LogPosition;
use kvs_core::vector::Vector;

use crate::reconcile::fingerprint::Short;
use crate::reconcile::holdings::{Changes, Located};
use crate::reconcile::limits::{
    CHANGES_MAX, IDS_MAX, RANGES_MAX, RECORDS_MAX, REPLY_PIECES_MAX, TOMBSTONES_MAX,
};
use crate::reconcile::wire::{Listing, MessageError, Reader, Split, Writer};

const OPENED: u8 = 1;
const MORE: u8 = 2;
const OTHER_KEY: u8 = 4;
const CHANGES: u8 = 8;
const ALL_CHANGES: u8 = 16;

/// Where the answerer stands: when the session begins, and when tombstones are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened {
    /// Its clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// The fingerprint of everything it is compared by: what never expires, and what expires above the floor.
    pub root: Short,
    /// What it held of each origin before it read anything else for this reply.
    pub vector: Vector,
    /// Where its log ended then.
    pub log_end: LogPosition,
}

/// The answer to a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// For each id asked with, whether the answerer lacks it; only those before `resume` count.
    pub lacks: Vec<bool>,
    /// The range from here on was not answered.
    pub resume: Option<Vec<u8>>,
}

/// What became of an offered record. Newer ones that are held instead come among the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum OfferEnd {
    /// It is held, or a newer one is.
    Settled = 0,
    /// It was deleted and collected: the asker drops it.
    Drop = 1,
    /// It could not be taken now.
    Failed = 2,
}

/// One round of the answerer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// Both sides digest with different keys; everything else is empty.
    pub other_key: bool,
    /// In answer to an opening.
    pub opened: Option<Opened>,
    /// The answerer's pieces of ranges that differ.
    pub splits: Vec<Split>,
    /// Ranges that differ and of which the answerer has few records, with all their ids.
    pub few: Vec<Listing>,
    /// One for each range listed by the asker.
    pub listed: Vec<Listed>,
    /// One for each record offered.
    pub verdicts: Vec<OfferEnd>,
    /// Records that the asker lacks.
    pub records: Vec<Located>,
    /// Tombstones asked for.
    pub tombstones: Vec<Located>,
    /// Whether there are more behind the last of them.
    pub more_tombstones: bool,
    /// What changed, if that was asked for and can be said.
    pub changes: Option<Changes>,
}

impl Reply {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        writer.out.push(
            flag(self.opened.is_some(), OPENED)
                | flag(self.more_tombstones, MORE)
                | flag(self.other_key, OTHER_KEY)
                | flag(self.changes.is_some(), CHANGES)
                | flag(self.changes.as_ref().is_some_and(|changes| changes.are_all), ALL_CHANGES),
        );
        if let Some(opened) = &self.opened {
            writer.out.extend_from_slice(&opened.now_ms.to_be_bytes());
            writer.out.extend_from_slice(&opened.root);
            opened.vector.encode_into(&mut writer.out);
            opened.log_end.encode_into(&mut writer.out);
        }
        writer.count(self.splits.len());
        self.splits.iter().for_each(|split| writer.split(split));
        writer.count(self.few.len());
        self.few.iter().for_each(|listing| writer.listing(listing));
        writer.count(self.listed.len());
        for listed in &self.listed {
            writer.count(listed.lacks.len());
            for eight in listed.lacks.chunks(8) {
                let bits = eight.iter().rev().fold(0_u8, |bits, lacks| bits << 1 | u8::from(*lacks));
                writer.out.push(bits);
            }
            writer.out.push(u8::from(listed.resume.is_some()));
            if let Some(resume) = &listed.resume {
                writer.bound(resume);
            }
        }
        writer.count(self.verdicts.len());
        writer.out.extend(self.verdicts.iter().map(|verdict| *verdict as u8));
        for records in [&self.records, &self.tombstones] {
            writer.count(records.len());
            records.iter().for_each(|record| writer.located(record));
        }
        if let Some(Changes { records, to, .. }) = &self.changes {
            writer.count(records.len());
            records.iter().for_each(|record| writer.located(record));
            to.encode_into(&mut writer.out);
        }
        writer.out
    }

    /// Reads a reply.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, MessageError> {
        let mut reader = Reader::new(bytes)?;
        let flags = reader.cursor.u8()?;
        let is_known = flags & !(OPENED | MORE | OTHER_KEY | CHANGES | ALL_CHANGES) == 0;
        if !is_known || flags & (CHANGES | ALL_CHANGES) == ALL_CHANGES {
            return Err(MessageError::Field("flags"));
        }
        let mut reply =
            Self { other_key: flags & OTHER_KEY != 0, more_tombstones: flags & MORE != 0, ..Self::default() };
        if flags & OPENED != 0 {
            let (now_ms, root) = (reader.cursor.u64()?, reader.cursor.array()?);
            let vector = Vector::decode(&mut reader.cursor)?;
            let log_end = LogPosition::decode(&mut reader.cursor)?;
            reply.opened = Some(Opened { now_ms, root, vector, log_end });
        }
        let mut pieces_left = REPLY_PIECES_MAX;
        for _ in 0..reader.count(REPLY_PIECES_MAX, "splits")? {
            let split = reader.split(pieces_left)?;
            pieces_left -= split.pieces.len();
            reply.splits.push(split);
        }
        let mut ids_left = IDS_MAX;
        for _ in 0..reader.count(REPLY_PIECES_MAX, "few")? {
            let listing = reader.listing(ids_left)?;
            ids_left -= listing.ids.len();
            reply.few.push(listing);
        }
        for _ in 0..reader.count(RANGES_MAX, "listed")? {
            reply.listed.push(read_listed(&mut reader)?);
        }
        for _ in 0..reader.count(RECORDS_MAX, "verdicts")? {
            reply.verdicts.push(match reader.cursor.u8()? {
                0 => OfferEnd::Settled,
                1 => OfferEnd::Drop,
                2 => OfferEnd::Failed,
                _ => return Err(MessageError::Field("verdict")),
            });
        }
        for _ in 0..reader.count(2 * RECORDS_MAX, "records")? {
            reply.records.push(reader.located()?);
        }
        for _ in 0..reader.count(TOMBSTONES_MAX, "tombstones")? {
            reply.tombstones.push(reader.located()?);
        }
        if flags & CHANGES != 0 {
            let mut changes = Changes { are_all: flags & ALL_CHANGES != 0, ..Changes::default() };
            for _ in 0..reader.count(CHANGES_MAX, "changes")? {
                changes.records.push(reader.located()?);
            }
            changes.to = LogPosition::decode(&mut reader.cursor)?;
            reply.changes = Some(changes);
        }
        reader.end()?;
        Ok(reply)
    }
}

fn read_listed(reader: &mut Reader<'_>) -> Result<Listed, MessageError> {
    let count = reader.count(IDS_MAX, "lacks")?;
    let bits = reader.cursor.take(count.div_ceil(8))?;
    let lacks = bits.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).take(count);
    let lacks = lacks.collect();
    let resume = match reader.cursor.u8()? {
        0 => None,
        1 => Some(reader.bound()?),
        _ => return Err(MessageError::Field("resume")),
    };
    Ok(Listed { lacks, resume })
}
