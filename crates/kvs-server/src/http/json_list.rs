//! A JSON list of values in an answer, which stops growing at a bound.

use bytes::{BufMut, BytesMut};
use kvs_core::path::Path;
use kvs_core::record::Record;

use crate::answer::{write_expiry, write_text, write_version_members};
use crate::limits::ANSWER_BYTES_TARGET;

/// A list being written: `[` and its elements.
#[derive(Debug)]
pub(crate) struct JsonList {
    out: BytesMut,
    is_empty: bool,
}

impl JsonList {
    /// Opens a list behind `before`.
    pub(crate) fn open(before: &[u8]) -> Self {
        let mut out = BytesMut::with_capacity(1024);
        out.put_slice(before);
        out.put_u8(b'[');
        Self { out, is_empty: true }
    }

    /// The place of the next element.
    pub(crate) fn next(&mut self) -> &mut BytesMut {
        if !self.is_empty {
            self.out.put_u8(b',');
        }
        self.is_empty = false;
        &mut self.out
    }

    /// Adds `{"path","uuid","timestamp","data"?,"expires_at"?}`.
    pub(crate) fn push_record(&mut self, path: &Path, record: &Record, data: Option<&[u8]>) {
        let out = self.next();
        out.put_slice(b"{\"path\":");
        write_text(out, path.as_str());
        out.put_u8(b',');
        write_version_members(out, record.version.uuid, record.version.stamp.ms);
        if let Some(data) = data {
            out.put_slice(b",\"data\":");
            out.put_slice(data);
        }
        write_expiry(out, record);
        out.put_u8(b'}');
    }

    /// Whether the answer is as large as it should get.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() >= ANSWER_BYTES_TARGET
    }

    /// Closes the list and gives the bytes so far.
    pub(crate) fn close(mut self) -> BytesMut {
        self.out.put_u8(b']');
        self.out
    }
}
