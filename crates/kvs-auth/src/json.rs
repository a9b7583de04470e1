//! Strict reading of one JSON object: what a token or an account says is said once, in words that are known.
//!
//! Unknown and doubled members are refused by the types themselves (`deny_unknown_fields`); here is what those leave
//! open: an array in place of an object, `null` in place of a member that is left out, and bytes behind the value.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error};

/// Reads one object and nothing else.
///
/// # Errors
///
/// What the parser says, or that the text is no object.
pub fn read_object<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    // A derived struct would take a list of its members' values as well.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(serde_json::Error::custom("expected an object"));
    }
    serde_json::from_slice(text)
}

/// Reads a member that may be left out, but not be `null`; for `deserialize_with` beside `default`.
///
/// # Errors
///
/// What the parser says of the value.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::{present, read_object};
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        a: u64,
        #[serde(default, deserialize_with = "present")]
        b: Option<String>,
    }

    #[test]
    fn an_object_is_read_with_what_may_be_left_out() {
        assert_eq!(read_object::<Thing>(br#" {"a":1} "#).unwrap(), Thing { a: 1, b: None });
        let both = read_object::<Thing>(br#"{"b":"x","a":1}"#).unwrap();
        assert_eq!(both, Thing { a: 1, b: Some("x".into()) });
    }

    #[test]
    fn whatever_could_be_understood_in_two_ways_is_refused() {
        for text in [
            "",
            "null",
            "[1]",
            r#"[1,"x"]"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":1,"b":null}"#,
            r#"{"a":1,"c":2}"#,
            r#"{"a":1} {"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":-1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":1,}"#,
            "\u{feff}{\"a\":1}",
        ] {
            assert!(read_object::<Thing>(text.as_bytes()).is_err(), "{text}");
        }
    }
}
