//! The check of a JSON text at the door: strict, bounded in depth, without building a tree.
//!
//! What passes here is read by every JSON parser without loss of meaning: it is exactly what `serde_json::Value`
//! accepts, nested at most [`JSON_DEPTH_MAX`] deep. Refused are so numbers beyond a double (`1e999`), lone surrogates,
//! invalid UTF-8, a byte order mark, and anything behind the value. Doubled keys of an object are kept as sent.
//!
//! Skipping parsers (`serde_json`'s `RawValue`, `IgnoredAny`) let most of that through, so every member is visited.
//! The same pass tells whether the value is an envelope, an object with exactly the members `data` and `ttl`.
//!
//! Invariant: the parser's recursion is bounded by the depth, whatever the text says.

use std::fmt;

use kvs_core::limits::JSON_DEPTH_MAX;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// What the top level of a valid text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An object with exactly the members `data` and `ttl`, each once.
    Envelope,
    /// Anything else.
    Plain,
}

/// Checks that `text` is one JSON value and nothing else.
///
/// # Errors
///
/// Why it is not, with line and column; nothing of the text is repeated.
pub(crate) fn check(text: &[u8]) -> Result<Shape, serde_json::Error> {
    check_within(text, JSON_DEPTH_MAX)
}

fn check_within(text: &[u8], depth_max: usize) -> Result<Shape, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    // The parser's own limit is one short of ours; ours stands in for it.
    deserializer.disable_recursion_limit();
    let shape = Top { depth_left: depth_max }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(shape)
}

/// The value at the top, whose members are looked at.
struct Top {
    depth_left: usize,
}

/// A value inside, of which only validity matters.
#[derive(Clone, Copy)]
struct Inner {
    depth_left: usize,
}

impl Inner {
    /// What is inside a list or object at a place with this depth left.
    fn below<E: Error>(depth_left: usize) -> Result<Self, E> {
        let too_deep = || E::custom(format_args!("nested deeper than {JSON_DEPTH_MAX}"));
        Ok(Self { depth_left: depth_left.checked_sub(1).ok_or_else(too_deep)? })
    }
}

impl<'de> DeserializeSeed<'de> for Top {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> DeserializeSeed<'de> for Inner {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Scalars are valid once they were parsed.
macro_rules! accept_scalars {
    ($accepted:expr) => {
        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a JSON value")
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($accepted)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($accepted)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($accepted)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($accepted)
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($accepted)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($accepted)
        }
    };
}

impl<'de> Visitor<'de> for Inner {
    type Value = ();

    accept_scalars!(());

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inner = Self::below(self.depth_left)?;
        while list.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let inner = Self::below(self.depth_left)?;
        while object.next_key_seed(NameSeed)?.is_some() {
            object.next_value_seed(inner)?;
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Top {
    type Value = Shape;

    accept_scalars!(Shape::Plain);

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Shape, A::Error> {
        Inner { depth_left: self.depth_left }.visit_seq(list)?;
        Ok(Shape::Plain)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Shape, A::Error> {
        let inner = Inner::below(self.depth_left)?;
        let (mut data, mut ttl, mut other) = (0u32, 0u32, false);
        while let Some(name) = object.next_key_seed(NameSeed)? {
            match name {
                Name::Data => data = data.saturating_add(1),
                Name::Ttl => ttl = ttl.saturating_add(1),
                Name::Other => other = true,
            }
            object.next_value_seed(inner)?;
        }
        Ok(if (data, ttl, other) == (1, 1, false) { Shape::Envelope } else { Shape::Plain })
    }
}

/// The name of a member, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Data,
    Ttl,
    Other,
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(match name {
            "data" => Name::Data,
            "ttl" => Name::Ttl,
            _ => Name::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Shape, check, check_within};
    use kvs_core::limits::JSON_DEPTH_MAX;
    use proptest::prelude::{
        Just, ProptestConfig, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest,
    };

    fn accepts(text: &str) -> bool {
        check(text.as_bytes()).is_ok()
    }

    #[test]
    fn what_a_value_refuses_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "1 2",
            "{}x",
            "nul",
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "--1",
            "NaN",
            "Infinity",
            "1e999",
            "-1e999",
            "[1e400]",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
            "{\"\\ud800\":1}",
            "\"\\x\"",
            "\"\u{1}\"",
            "'a'",
            "\u{feff}1",
            "/**/1",
            "\"a\nb\"",
        ] {
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text:?}");
            assert!(!accepts(text), "{text:?}");
        }
    }

    #[test]
    fn invalid_utf8_is_refused_wherever_it_stands() {
        for text in
            [&b"\"\xff\""[..], b"\xff", b"[1]\xc3", b"{\"\xc3\":1}", b"\"\xed\xa0\x80\"", b"\"\xc0\x80\""]
        {
            assert!(check(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_forms_of_a_value_are_accepted() {
        for text in [
            "null",
            " true\n",
            "0",
            "-0",
            "1e308",
            "1E-999",
            "18446744073709551616",
            "\"\"",
            "\"\\u0000\\ud83d\\ude00\"",
            "\"\u{7f}\u{2028}\"",
            "[]",
            "{}",
            "{\"a\":1,\"a\":2}",
            "[[],{\"\":[null]}]",
        ] {
            assert!(accepts(text), "{text:?}");
        }
    }

    #[test]
    fn nesting_ends_at_the_limit_and_never_overflows_the_stack() {
        let nested =
            |open: &str, close: &str, depth: usize| open.repeat(depth) + close.repeat(depth).as_str();
        assert!(accepts(&nested("[", "]", JSON_DEPTH_MAX)));
        assert!(!accepts(&nested("[", "]", JSON_DEPTH_MAX + 1)));
        let objects = |depth: usize| "{\"a\":".repeat(depth) + "1" + "}".repeat(depth).as_str();
        assert!(accepts(&objects(JSON_DEPTH_MAX)));
        assert!(!accepts(&objects(JSON_DEPTH_MAX + 1)));
        assert!(!accepts(&"[".repeat(1_000_000)));
        assert!(!accepts(&nested("[{\"a\":", "}]", 1_000_000)));
    }

    #[test]
    fn an_envelope_has_exactly_its_two_members_once() {
        let shape = |text: &str| check(text.as_bytes()).unwrap();
        assert_eq!(shape("{\"data\":{\"x\":1},\"ttl\":\"1h\"}"), Shape::Envelope);
        assert_eq!(shape(" { \"ttl\" : 5 , \"d\\u0061ta\" : null } "), Shape::Envelope);
        for plain in [
            "{\"data\":1}",
            "{\"ttl\":1}",
            "{\"data\":1,\"ttl\":1,\"x\":1}",
            "{\"data\":1,\"data\":1,\"ttl\":1}",
            "{\"data\":1,\"ttl\":1,\"ttl\":1}",
            "[{\"data\":1,\"ttl\":1}]",
            "{\"x\":{\"data\":1,\"ttl\":1}}",
            "\"data\"",
            "{}",
        ] {
            assert_eq!(shape(plain), Shape::Plain, "{plain}");
        }
    }

    /// Texts that are JSON or nearly: pieces in random order.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("{".to_owned()),
            Just("}".to_owned()),
            Just("[".to_owned()),
            Just("]".to_owned()),
            Just(",".to_owned()),
            Just(":".to_owned()),
            Just("\"a\"".to_owned()),
            Just("\"data\":".to_owned()),
            Just("null".to_owned()),
            Just(" ".to_owned()),
            Just("\"\\ud83d\"".to_owned()),
            Just("\"\\ud83d\\ude00\"".to_owned()),
            Just("1e999".to_owned()),
            any::<f64>().prop_map(|number| number.to_string()),
            any::<i64>().prop_map(|number| number.to_string()),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// Valid values, nested a little.
    fn values() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<f64>().prop_map(serde_json::Value::from),
            any::<String>().prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                prop::collection::vec(("[a-d]|data|ttl", inner), 0..4)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn same_verdict(text: &[u8]) {
        let value = serde_json::from_slice::<serde_json::Value>(text).is_ok();
        // The parser behind `Value` stops at 127 levels.
        assert_eq!(check_within(text, 127).is_ok(), value, "{:?}", String::from_utf8_lossy(text));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_get_the_verdict_of_a_value(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            same_verdict(&bytes);
        }

        #[test]
        fn pieces_of_json_get_the_verdict_of_a_value(text in pieces()) {
            same_verdict(text.as_bytes());
        }

        #[test]
        fn a_flipped_byte_gets_the_verdict_of_a_value(
            value in values(), place in any::<prop::sample::Index>(), byte in any::<u8>()
        ) {
            let mut text = value.to_string().into_bytes();
            same_verdict(&text);
            let place = place.index(text.len());
            text[place] = byte;
            same_verdict(&text);
        }

        #[test]
        fn the_envelope_is_recognised_by_its_keys(value in values()) {
            let expected = value.as_object().is_some_and(|object| {
                object.len() == 2 && object.contains_key("data") && object.contains_key("ttl")
            });
            let shape = check(value.to_string().as_bytes()).unwrap();
            prop_assert_eq!(shape == Shape::Envelope, expected);
        }
    }
}
