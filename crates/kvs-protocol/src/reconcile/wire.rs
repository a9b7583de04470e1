//! The pieces that both kinds of messages are written with.
//!
//! Numbers are varints: seven bits a byte, least significant first, the highest bit says that more follow. A bound is told
//! by how many bytes it shares with the bound before it in the message, and the rest.

use bytes::Bytes;
use kvs_core::cursor::{Cursor, EndsEarly};
use kvs_core::limits::{PATH_BYTES_MAX, PAYLOAD_BYTES_MAX};
use kvs_core::namespace::Namespace;
use kvs_core::origin::{Dot, Origin};
use kvs_core::path::Path;
use kvs_core::record_codec;

use crate::reconcile::fingerprint::Short;
use crate::reconcile::holdings::Located;
use crate::reconcile::limits::BOUND_BYTES_MAX;

/// The format that this code speaks.
pub(crate) const FORMAT: u8 = 3;
/// A record's fixed fields and names beside its payload, generously.
const RECORD_OVERHEAD_MAX: usize = 1024;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// They end early.
    #[error("the message ends early")]
    EndsEarly,
    /// The other side speaks a format that this version does not know.
    #[error("message format {0} is unknown to this version")]
    UnknownFormat(u8),
    /// A field has a value that is not allowed, or there are too many of them.
    #[error("the message's field '{0}' is not allowed")]
    Field(&'static str),
}

impl From<EndsEarly> for MessageError {
    fn from(_: EndsEarly) -> Self {
        Self::EndsEarly
    }
}

/// Adjacent pieces of a range, each with its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// Where the first piece begins.
    pub from: Vec<u8>,
    /// The pieces: fingerprint, and where the piece ends and the next begins.
    pub pieces: Vec<(Short, Vec<u8>)>,
}

impl Split {
    /// Every bound, in order.
    #[must_use]
    pub fn bounds(&self) -> Vec<Vec<u8>> {
        let ends = self.pieces.iter().map(|(_, to)| to.clone());
        std::iter::once(self.from.clone()).chain(ends).collect()
    }
}

/// A range with the ids of records in it, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Where it begins.
    pub from: Vec<u8>,
    /// Where it ends.
    pub to: Vec<u8>,
    /// The ids.
    pub ids: Vec<Short>,
}

/// Writes a message.
pub(crate) struct Writer {
    pub(crate) out: Vec<u8>,
    last_bound: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { out: vec![FORMAT], last_bound: Vec::new() }
    }

    pub(crate) fn number(&mut self, mut number: u64) {
        loop {
            let byte = number.to_le_bytes()[0] & 0x7f;
            number >>= 7;
            if number == 0 {
                self.out.push(byte);
                return;
            }
            self.out.push(byte | 0x80);
        }
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn bound(&mut self, bound: &[u8]) {
        let shared = self.last_bound.iter().zip(bound).take_while(|(left, right)| left == right).count();
        self.count(shared);
        self.bytes(bound.get(shared..).unwrap_or_default());
        self.last_bound = bound.to_vec();
    }

    pub(crate) fn key(&mut self, namespace: Namespace, path: &Path) {
        self.out.push(namespace.number());
        self.bytes(path.as_bytes());
    }

    pub(crate) fn located(&mut self, located: &Located) {
        self.key(located.namespace, &located.path);
        self.count(record_codec::encoded_len(&located.record));
        record_codec::encode_into(located.namespace, &located.path, &located.record, &mut self.out);
    }

    pub(crate) fn dot(&mut self, dot: &Dot) {
        self.out.extend_from_slice(dot.origin.node.as_bytes());
        self.number(dot.origin.epoch);
        self.number(dot.seq);
    }

    pub(crate) fn split(&mut self, split: &Split) {
        self.bound(&split.from);
        self.count(split.pieces.len());
        for (fingerprint, to) in &split.pieces {
            self.out.extend_from_slice(fingerprint);
            self.bound(to);
        }
    }

    pub(crate) fn listing(&mut self, listing: &Listing) {
        self.bound(&listing.from);
        self.bound(&listing.to);
        self.count(listing.ids.len());
        for id in &listing.ids {
            self.out.extend_from_slice(id);
        }
    }
}

/// Reads a message.
pub(crate) struct Reader<'a> {
    whole: &'a Bytes,
    pub(crate) cursor: Cursor<'a>,
    last_bound: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(whole: &'a Bytes) -> Result<Self, MessageError> {
        let mut cursor = Cursor::new(whole);
        let format = cursor.u8()?;
        if format != FORMAT {
            return Err(MessageError::UnknownFormat(format));
        }
        Ok(Self { whole, cursor, last_bound: Vec::new() })
    }

    pub(crate) fn number(&mut self) -> Result<u64, MessageError> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.cursor.u8()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        // The tenth byte holds the last bit.
        match self.cursor.u8()? {
            0 => Ok(number),
            1 => Ok(number | 1 << 63),
            _ => Err(MessageError::Field("number")),
        }
    }

    pub(crate) fn count(&mut self, max: usize, field: &'static str) -> Result<usize, MessageError> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > max { Err(MessageError::Field(field)) } else { Ok(count) }
    }

    pub(crate) fn bound(&mut self) -> Result<Vec<u8>, MessageError> {
        let shared = self.count(BOUND_BYTES_MAX, "bound")?;
        let rest_len = self.count(BOUND_BYTES_MAX.saturating_sub(shared), "bound")?;
        let rest = self.cursor.take(rest_len)?;
        self.last_bound.truncate(shared);
        if self.last_bound.len() != shared {
            return Err(MessageError::Field("bound"));
        }
        self.last_bound.extend_from_slice(rest);
        Ok(self.last_bound.clone())
    }

    pub(crate) fn key(&mut self) -> Result<(Namespace, Path), MessageError> {
        let namespace = Namespace::from_number(self.cursor.u8()?).ok_or(MessageError::Field("namespace"))?;
        let len = self.count(PATH_BYTES_MAX, "path")?;
        let path = Path::from_stored(self.cursor.take(len)?).map_err(|_| MessageError::Field("path"))?;
        Ok((namespace, path))
    }

    pub(crate) fn located(&mut self) -> Result<Located, MessageError> {
        let (namespace, path) = self.key()?;
        let len = self.count(PAYLOAD_BYTES_MAX + RECORD_OVERHEAD_MAX, "record")?;
        let bytes = self.whole.slice_ref(self.cursor.take(len)?);
        let record =
            record_codec::decode(namespace, &path, &bytes).map_err(|_| MessageError::Field("record"))?;
        Ok(Located { namespace, path, record })
    }

    pub(crate) fn dot(&mut self) -> Result<Dot, MessageError> {
        let node = self.cursor.uuid()?;
        let epoch = self.number()?;
        Ok(Dot { origin: Origin { node, epoch }, seq: self.number()? })
    }

    pub(crate) fn split(&mut self, max: usize) -> Result<Split, MessageError> {
        let mut last = self.bound()?;
        let mut split = Split { from: last.clone(), pieces: Vec::new() };
        for _ in 0..self.count(max, "pieces")? {
            let fingerprint = self.cursor.array()?;
            let to = self.bound()?;
            if to <= last {
                return Err(MessageError::Field("pieces out of order"));
            }
            last.clone_from(&to);
            split.pieces.push((fingerprint, to));
        }
        Ok(split)
    }

    pub(crate) fn listing(&mut self, max: usize) -> Result<Listing, MessageError> {
        let (from, to) = (self.bound()?, self.bound()?);
        if from >= to {
            return Err(MessageError::Field("range"));
        }
        let mut listing = Listing { from, to, ids: Vec::new() };
        for _ in 0..self.count(max, "ids")? {
            listing.ids.push(self.cursor.array()?);
        }
        Ok(listing)
    }

    pub(crate) fn end(&self) -> Result<(), MessageError> {
        if self.cursor.rest().is_empty() { Ok(()) } else { Err(MessageError::Field("bytes behind the end")) }
    }
}
