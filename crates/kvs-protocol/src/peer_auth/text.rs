//! Bytes as text in a header: base64url without padding, one spelling for each value.
//!
//! A text that decodes is the only one that does to these bytes, so that a changed character is a changed byte.
//! Source: RFC 4648 section 5.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text of these bytes.
pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The `N` bytes of this text; `None` when it is the text of anything else.
pub(super) fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != N.saturating_mul(4).div_ceil(3) {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn a_text_reads_back_and_has_one_spelling() {
        assert_eq!(encode(&[0xfb, 0xff, 1]), "-_8B");
        assert_eq!(decode(b"-_8B"), Some([0xfb, 0xff, 1]));
        assert_eq!(decode(b"-_8"), Some([0xfb, 0xff]));
        // The same two bytes, but for bits that nobody reads.
        assert_eq!(decode::<2>(b"-_9"), None);
        for other in [&b"+/8B"[..], b"-_8", b"-_8B=", b"-_8B\n", b""] {
            assert_eq!(decode::<3>(other), None);
        }
    }
}
