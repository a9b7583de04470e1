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
use kvs_core::limits::PATH_BYTES_MAX;
use kvs_store::engine::contract::Order;
use kvs_store::read::range::Position;

use crate::problem::{Code, Problem};

/// Writes a cursor.
pub(crate) fn encode(position: &Position, order: Order) -> String {
    let (kind, bytes) = match position {
        Position::Key(bytes) => ('k', bytes),
        Position::Prefix(bytes) => ('p', bytes),
    };
    let way = way(order);
    let mut text = format!("1{way}{kind}");
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0x0f));
    }
    text
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
