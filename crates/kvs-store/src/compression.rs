//! Payload compression: zstd per record, kept only where it saves something.
//!
//! Per record, because records travel and rest one by one. Decompression is bounded by the length written beside the
//! frame, which the record codec bounds in turn: a forged frame cannot grow beyond it.

use std::cell::RefCell;

use bytes::Bytes;
use kvs_core::digest::ContentDigest;
use kvs_core::limits::PAYLOAD_BYTES_MAX;
use kvs_core::record::Payload;
use zstd::bulk::{Compressor, Decompressor};

use crate::limits::COMPRESS_BYTES_MIN;

thread_local! {
    // A zstd context costs more to make than a small payload to compress, so each thread keeps its own.
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// What a value is written with: its payload as it will rest, and its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The JSON bytes, compressed where that is smaller.
    pub payload: Payload,
    /// Digest of the JSON bytes as sent.
    pub digest: ContentDigest,
}

impl Content {
    /// Prepares JSON bytes: digest and, with a level, compression. CPU work for the caller's thread, so that the one
    /// committer only orders and writes.
    #[must_use]
    pub fn prepare(json: Bytes, compression_level: Option<i32>) -> Self {
        let digest = ContentDigest::of(&json);
        let payload =
            compression_level.and_then(|level| compress(&json, level)).unwrap_or(Payload::Raw(json));
        Self { payload, digest }
    }
}

/// Compresses when it is worth it: at least an eighth saved.
fn compress(json: &Bytes, level: i32) -> Option<Payload> {
    if json.len() < COMPRESS_BYTES_MIN {
        return None;
    }
    let raw_len = u32::try_from(json.len()).ok()?;
    let frame = COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some((kept_level, compressor)) if *kept_level == level => compressor,
            _ => &mut kept.insert((level, Compressor::new(level).ok()?)).1,
        };
        compressor.compress(json).ok()
    })?;
    (frame.len() + json.len() / 8 <= json.len()).then(|| Payload::Zstd { raw_len, frame: Bytes::from(frame) })
}

/// The JSON bytes as sent.
///
/// # Errors
///
/// What is wrong with the frame.
pub fn decompress(payload: &Payload) -> Result<Bytes, String> {
    match payload {
        Payload::Raw(bytes) => Ok(bytes.clone()),
        Payload::Zstd { raw_len, frame } => {
            let raw_len = *raw_len as usize;
            if raw_len > PAYLOAD_BYTES_MAX {
                return Err("its length is out of bounds".into());
            }
            let json = DECOMPRESSOR.with_borrow_mut(|kept| {
                let decompressor = match kept {
                    Some(decompressor) => decompressor,
                    None => kept.insert(Decompressor::new()?),
                };
                decompressor.decompress(frame, raw_len)
            });
            let json = json.map_err(|error| error.to_string())?;
            if json.len() == raw_len {
                Ok(Bytes::from(json))
            } else {
                Err("its length does not match".into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, decompress};
    use bytes::Bytes;
    use kvs_core::record::Payload;
    use proptest::prelude::{any, proptest};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn what_does_not_shrink_stays_as_sent() {
        let mut noise = vec![0; 4000];
        StdRng::seed_from_u64(1).fill_bytes(&mut noise);
        assert!(matches!(Content::prepare(noise.into(), Some(3)).payload, Payload::Raw(_)));
        let text = Bytes::from("[1,2,3,4]".repeat(100));
        assert!(matches!(Content::prepare(text.clone(), Some(3)).payload, Payload::Zstd { .. }));
        assert!(matches!(Content::prepare(text, None).payload, Payload::Raw(_)));
    }

    #[test]
    fn a_frame_that_grows_beyond_its_length_is_refused() {
        let zeros = Bytes::from(vec![b'0'; 1 << 20]);
        let Payload::Zstd { frame, .. } = Content::prepare(zeros, Some(3)).payload else {
            panic!("a megabyte of zeros shrinks");
        };
        assert!(decompress(&Payload::Zstd { raw_len: 1000, frame: frame.clone() }).is_err());
        assert!(decompress(&Payload::Zstd { raw_len: (1 << 20) + 1, frame: frame.clone() }).is_err());
        assert!(decompress(&Payload::Zstd { raw_len: u32::MAX, frame }).is_err());
    }

    proptest! {
        #[test]
        fn content_comes_back_byte_for_byte(text in "[a-c]{0,600}", level in 1..=19_i32) {
            let content = Content::prepare(Bytes::from(text.clone()), Some(level));
            assert_eq!(decompress(&content.payload), Ok(Bytes::from(text)));
        }

        #[test]
        fn no_frame_panics(frame in proptest::collection::vec(any::<u8>(), 0..100), raw_len in 0..10_000_u32) {
            assert!(decompress(&Payload::Zstd { raw_len, frame: frame.into() }).is_err());
        }
    }
}
