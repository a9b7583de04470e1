//! A full look at a JSON text without building it: is it what every node accepts?
//!
//! `RawValue` finds the end of a value without reading it, so it lets pass what a full reader refuses: `1e999`, lone
//! surrogates, nesting without end. The node refuses those; a line of an import is checked here first, so that the
//! line is named instead of a whole batch coming back.

use std::fmt;

use kvs_core::limits::JSON_DEPTH_MAX;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Reads `text` as exactly one JSON value of at most [`JSON_DEPTH_MAX`] levels.
///
/// # Errors
///
/// What is wrong and where.
pub(crate) fn check(text: &str) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    // The depth is counted below, to the node's number; serde_json's own count is one lower.
    reader.disable_recursion_limit();
    Level { left: JSON_DEPTH_MAX }.deserialize(&mut reader)?;
    reader.end()
}

/// A value in which `left` more levels may be opened.
#[derive(Clone, Copy)]
struct Level {
    left: usize,
}

impl Level {
    fn below<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left }),
            None => Err(E::custom(format_args!("more than {JSON_DEPTH_MAX} levels of nesting"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let below = self.below()?;
        while list.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let below = self.below()?;
        while members.next_key::<Text>()?.is_some() {
            members.next_value_seed(below)?;
        }
        Ok(())
    }
}

/// A member's name, read in full and forgotten.
struct Text;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Text, E> {
                Ok(Text)
            }
        }
        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn values_of_every_kind_are_accepted() {
        for text in [
            "null",
            " true ",
            "-0.5e3",
            "\"\\u00fc\"",
            "[]",
            "{\"a\":[1,{}],\"a\":2}",
            "18446744073709551616",
        ] {
            assert!(check(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_a_full_reader_refuses_is_refused() {
        for text in
            ["", "1 2", "1e999", "\"\\ud800\"", "{\"\\udfff\":1}", "[1,]", "{\"a\"}", "nul", "\u{feff}1"]
        {
            assert!(check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_ends_at_128_levels() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check(&nested(128)).is_ok());
        let error = check(&nested(129)).expect_err("too deep").to_string();
        assert!(error.contains("128 levels"), "{error}");
        assert!(check(&"[".repeat(100_000)).is_err());
    }
}
