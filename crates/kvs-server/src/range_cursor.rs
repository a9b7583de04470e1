//! The cursor of a listing: where the page before ended, as a text that clients hand back unread.
//!
//! | byte | meaning |
//! | --- | --- |
//! | 0 | version of the form, `1` |
//! | 1 | the way: `a` ascending, `d` descending |
//! | 2 | what the page ended with: `k` a key, `p` a folded prefix |
//! | 3.. | its bytes in lower-case hexadecimal |
//!
//! Example: `1ak612f62` goes on behind the key `a/b`. A forged cursor can name any place, but never widens a range.

use bytes::Bytes;
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit};
use kvs_core::limits::PATH_BYTES_MAX;
use kvs_store::engine::contract::Order;
use kvs_store::read::range::Position;

use crate::problem::{Code, Problem};
use crate::random::random_bytes;

/// Bytes of the nonce of a hidden cursor; random ones of this length do not collide.
const NONCE_BYTES: usize = 24;

/// Bytes by which hiding makes a cursor longer: nonce and tag.
const HIDING_BYTES: usize = NONCE_BYTES + 16;

/// A hidden cursor is filled up to a multiple of so many bytes, so that its length tells little of the key's.
const HIDDEN_BLOCK_BYTES: usize = 512;

/// Writes a cursor that only a node of this cluster can read: `2` and hexadecimal digits. A listing that leaves keys out
/// may end behind one of them, and its cursor must not name it.
///
/// # Errors
///
/// [`Code::Internal`]: there is no randomness.
pub(crate) fn encode_hidden(position: &Position, order: Order, key: &[u8; 32]) -> Result<String, Problem> {
    let failed = |_| Problem::internal("a cursor cannot be hidden");
    let nonce: [u8; NONCE_BYTES] = random_bytes().map_err(|error| Problem::internal(error.to_string()))?;
    let mut plain = encode(position, order);
    let filled = plain.len().next_multiple_of(HIDDEN_BLOCK_BYTES);
    plain.extend(std::iter::repeat_n(' ', filled - plain.len()));
    let cipher = XChaCha20Poly1305::new(key.into());
    let hidden = cipher.encrypt(&nonce.into(), plain.as_bytes()).map_err(failed)?;
    let mut text = String::from("2");
    push_hex(&mut text, &nonce);
    push_hex(&mut text, &hidden);
    Ok(text)
}

/// Reads a cursor of either form.
///
/// # Errors
///
/// [`Code::BadCursor`].
pub(crate) fn decode_any(text: &str, order: Order, key: Option<&[u8; 32]>) -> Result<Position, Problem> {
    let refused = || Problem::new(Code::BadCursor, "the cursor is not one of this listing");
    let Some(hex) = text.strip_prefix('2') else { return decode(text, order) };
    let bytes_max = (PATH_BYTES_MAX * 2 + 3).next_multiple_of(HIDDEN_BLOCK_BYTES) + HIDING_BYTES;
    let bytes =
        (hex.len() <= bytes_max * 2).then(|| bytes_of(hex.as_bytes())).flatten().ok_or_else(refused)?;
    let (nonce, hidden) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(refused)?;
    let cipher = XChaCha20Poly1305::new(key.ok_or_else(refused)?.into());
    let plain = cipher.decrypt(nonce.into(), hidden).map_err(|_| refused())?;
    decode(std::str::from_utf8(&plain).map_err(|_| refused())?.trim_end_matches(' '), order)
}

/// Writes a cursor.
pub(crate) fn encode(position: &Position, order: Order) -> String {
    let (kind, bytes) = match position {
        Position::Key(bytes) => ('k', bytes),
        Position::Prefix(bytes) => ('p', bytes),
    };
    let way = way(order);
    let mut text = format!("1{way}{kind}");
    push_hex(&mut text, bytes);
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0x0f));
    }
}

/// Reads a cursor of a listing that goes this way.
///
/// # Errors
///
/// [`Code::BadCursor`].
pub(crate) fn decode(text: &str, order: Order) -> Result<Position, Problem> {
    let refused = || Problem::new(Code::BadCursor, "the cursor is not one of this listing");
    let rest = text.strip_prefix('1').and_then(|rest| rest.strip_prefix(way(order))).ok_or_else(refused)?;
    let (kind, hex) = rest.split_at_checked(1).ok_or_else(refused)?;
    if hex.is_empty() || hex.len() > PATH_BYTES_MAX * 2 {
        return Err(refused());
    }
    let bytes = bytes_of(hex.as_bytes()).ok_or_else(refused)?;
    match kind {
        "k" => Ok(Position::Key(bytes)),
        "p" => Ok(Position::Prefix(bytes)),
        _ => Err(refused()),
    }
}

const fn way(order: Order) -> char {
    match order {
        Order::Ascending => 'a',
        Order::Descending => 'd',
    }
}

fn bytes_of(hex: &[u8]) -> Option<Bytes> {
    let (pairs, rest) = hex.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use bytes::Bytes;
    use kvs_store::engine::contract::Order;
    use kvs_store::read::range::Position;

    #[test]
    fn a_hidden_cursor_names_nothing_and_comes_back_with_its_key_alone() {
        let position = Position::Key(Bytes::from_static(b"secret/name"));
        let text = super::encode_hidden(&position, Order::Ascending, &[7; 32]).unwrap();
        assert!(!text.contains("7365637265742f6e616d65"), "{text}");
        assert_ne!(text, super::encode_hidden(&position, Order::Ascending, &[7; 32]).unwrap());
        let read = |key: Option<[u8; 32]>, order| super::decode_any(&text, order, key.as_ref());
        assert_eq!(read(Some([7; 32]), Order::Ascending).unwrap(), position);
        let longer = Position::Key(Bytes::from_static(b"secret/name/that/goes/on"));
        let longer = super::encode_hidden(&longer, Order::Ascending, &[7; 32]).unwrap();
        assert_eq!(longer.len(), text.len());
        let longest = Position::Key(Bytes::from(vec![b'x'; super::PATH_BYTES_MAX]));
        let longest_text = super::encode_hidden(&longest, Order::Ascending, &[7; 32]).unwrap();
        assert_eq!(super::decode_any(&longest_text, Order::Ascending, Some(&[7; 32])).unwrap(), longest);
        assert!(read(Some([8; 32]), Order::Ascending).is_err());
        assert!(read(Some([7; 32]), Order::Descending).is_err());
        assert!(read(None, Order::Ascending).is_err());
        for cut in [1, 10, text.len() - 2] {
            assert!(super::decode_any(text.get(..cut).unwrap(), Order::Ascending, Some(&[7; 32])).is_err());
        }
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        for order in [Order::Ascending, Order::Descending] {
            for position in [Position::Key(Bytes::from("a/b")), Position::Prefix(Bytes::from("ü/"))] {
                assert_eq!(decode(&encode(&position, order), order), Ok(position));
            }
        }
        assert_eq!(encode(&Position::Key(Bytes::from("a/b")), Order::Ascending), "1ak612f62");
    }

    #[test]
    fn foreign_texts_are_refused() {
        let long = format!("1ak{}", "61".repeat(1025));
        for text in
            ["", "1", "1a", "1ak", "1ak6", "1akzz", "1ak6A", "1ax61", "1dk61", "2ak61", "é", "1aké", &long]
        {
            assert!(decode(text, Order::Ascending).is_err(), "{text}");
        }
    }
}
