//! What the asker says in one round trip.
//!
//! | field | shape |
//! | --- | --- |
//! | format | 1 byte, 3 |
//! | nonce | 16 bytes |
//! | fingerprint of the digest key | 8 bytes |
//! | flags | 1 byte: bit 0 opening, bit 1 tombstones wanted, bit 2 from behind a dot |
//! | clock | the asker's, in ms, 8 bytes, if opening |
//! | compare | count, then splits: bound, count, then per piece 8 bytes and its end |
//! | listed | count, then ranges: two bounds, count, ids of 8 bytes |
//! | offered | count, then records: namespace, path, length, record |
//! | dropped | count, then namespace, path, version (34 bytes) |
//! | behind | dot, if flagged |
//! | known | vector, if tombstones are wanted |
//! | since | position in the answerer's log, 16 bytes, if tombstones are wanted: what changed behind it is wanted, too |
//!
//! Bit 3 of the flags says that no tombstones are wanted any more, but what changed.

use bytes::Bytes;
use kvs_core::log_position::LogPosition;
use kvs_core::origin::Dot;
use kvs_core::stamp::Stamp;
use kvs_core::vector::Vector;
use kvs_core::version::Version;

use crate::reconcile::fingerprint::{Nonce, Short};
use crate::reconcile::holdings::{Dropped, Located};
use crate::reconcile::limits::{ASKED_PIECES_MAX, DROPS_MAX, IDS_MAX, RANGES_MAX, RECORDS_MAX};
use crate::reconcile::wire::{Listing, MessageError, Reader, Split, Writer};

const OPENING: u8 = 1;
const WANTED: u8 = 2;
const BEHIND: u8 = 4;
const CHANGES_ALONE: u8 = 8;

/// What the asker wants last: tombstones, and what changed at the answerer while the session went on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Which tombstones.
    pub tombstones: WantedTombstones,
    /// But nothing that this covers.
    pub known: Vector,
    /// What changed behind this position in the answerer's log.
    pub since: LogPosition,
}

/// Which tombstones the asker wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WantedTombstones {
    /// All.
    #[default]
    All,
    /// Those behind this dot.
    Behind(Dot),
    /// None any more.
    Nothing,
}

/// One round of the asker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The session's nonce.
    pub nonce: Nonce,
    /// Tells whether both sides digest with the same key.
    pub key_fingerprint: Short,
    /// The asker's clock, in milliseconds since 1970, when the session begins.
    pub opened_at_ms: Option<u64>,
    /// Ranges to compare.
    pub compare: Vec<Split>,
    /// Ranges of which the asker has these records and wants all others.
    pub listed: Vec<Listing>,
    /// Records that the answerer lacks.
    pub offered: Vec<Located>,
    /// Live records of the answerer's that were deleted and collected on the asker's side.
    pub dropped: Vec<Dropped>,
    /// Wanted last.
    pub wanted: Option<Wanted>,
}

impl Request {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.out.extend_from_slice(&self.nonce);
        writer.out.extend_from_slice(&self.key_fingerprint);
        let behind = match self.wanted.as_ref().map(|wanted| wanted.tombstones) {
            Some(WantedTombstones::Behind(dot)) => Some(dot),
            _ => None,
        };
        let is_changes_alone =
            self.wanted.as_ref().is_some_and(|wanted| wanted.tombstones == WantedTombstones::Nothing);
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        writer.out.push(
            flag(self.opened_at_ms.is_some(), OPENING)
                | flag(self.wanted.is_some(), WANTED)
                | flag(behind.is_some(), BEHIND)
                | flag(is_changes_alone, CHANGES_ALONE),
        );
        if let Some(now_ms) = self.opened_at_ms {
            writer.out.extend_from_slice(&now_ms.to_be_bytes());
        }
        writer.count(self.compare.len());
        self.compare.iter().for_each(|split| writer.split(split));
        writer.count(self.listed.len());
        self.listed.iter().for_each(|listing| writer.listing(listing));
        writer.count(self.offered.len());
        self.offered.iter().for_each(|record| writer.located(record));
        writer.count(self.dropped.len());
        for dropped in &self.dropped {
            writer.key(dropped.namespace, &dropped.path);
            let version = &dropped.version;
            writer.out.extend_from_slice(&version.stamp.ms.to_be_bytes());
            writer.out.extend_from_slice(&version.stamp.counter.to_be_bytes());
            writer.out.extend_from_slice(&version.origin_joined_ms.to_be_bytes());
            writer.out.extend_from_slice(version.uuid.as_bytes());
        }
        if let Some(behind) = behind {
            writer.dot(&behind);
        }
        if let Some(wanted) = &self.wanted {
            wanted.known.encode_into(&mut writer.out);
            wanted.since.encode_into(&mut writer.out);
        }
        writer.out
    }

    /// Reads a request.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, MessageError> {
        let mut reader = Reader::new(bytes)?;
        let nonce = reader.cursor.array()?;
        let key_fingerprint = reader.cursor.array()?;
        let flags = reader.cursor.u8()?;
        let which = flags & (WANTED | BEHIND | CHANGES_ALONE);
        let is_known = flags & !(OPENING | WANTED | BEHIND | CHANGES_ALONE) == 0;
        if !is_known || ![0, WANTED, WANTED | BEHIND, WANTED | CHANGES_ALONE].contains(&which) {
            return Err(MessageError::Field("flags"));
        }
        let opened_at_ms = if flags & OPENING != 0 { Some(reader.cursor.u64()?) } else { None };
        let mut request = Self { nonce, key_fingerprint, opened_at_ms, ..Self::default() };
        let mut pieces_left = ASKED_PIECES_MAX;
        for _ in 0..reader.count(RANGES_MAX, "splits")? {
            let split = reader.split(pieces_left)?;
            pieces_left -= split.pieces.len();
            request.compare.push(split);
        }
        let mut ids_left = IDS_MAX;
        for _ in 0..reader.count(RANGES_MAX, "ranges")? {
            let listing = reader.listing(ids_left)?;
            ids_left -= listing.ids.len();
            request.listed.push(listing);
        }
        for _ in 0..reader.count(RECORDS_MAX, "records")? {
            request.offered.push(reader.located()?);
        }
        for _ in 0..reader.count(DROPS_MAX, "drops")? {
            let (namespace, path) = reader.key()?;
            let stamp = Stamp { ms: reader.cursor.u64()?, counter: reader.cursor.u16()? };
            let origin_joined_ms = reader.cursor.u64()?;
            let version = Version { stamp, origin_joined_ms, uuid: reader.cursor.uuid()? };
            request.dropped.push(Dropped { namespace, path, version });
        }
        if flags & WANTED != 0 {
            let tombstones = match which & !WANTED {
                BEHIND => WantedTombstones::Behind(reader.dot()?),
                CHANGES_ALONE => WantedTombstones::Nothing,
                _ => WantedTombstones::All,
            };
            let known = Vector::decode(&mut reader.cursor)?;
            let since = LogPosition::decode(&mut reader.cursor)?;
            request.wanted = Some(Wanted { tombstones, known, since });
        }
        reader.end()?;
        Ok(request)
    }
}
