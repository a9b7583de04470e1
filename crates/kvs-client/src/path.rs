//! Paths on their way into a URL: validated once, then percent-encoded segment by segment.
//!
//! Everything but the unreserved characters of RFC 3986 section 2.3 is encoded, so that no proxy, library or router on
//! the way can read a character of a key as syntax. The separators stay `/`.

use kvs_core::path::Path;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::error::ClientError;

/// Everything but letters, digits, `-`, `.`, `_` and `~`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Reads a path as a user writes it: decoded text, a leading `/` is optional.
///
/// # Errors
///
/// [`ClientError::BadPath`] with the rule that the text breaks.
pub(crate) fn parse(text: &str) -> Result<Path, ClientError> {
    Path::parse(text).map_err(|source| ClientError::BadPath { text: text.to_owned(), source })
}

/// The path as it stands in a URL behind its route, without a leading `/`.
pub(crate) fn encode(path: &Path) -> String {
    let mut encoded = String::with_capacity(path.as_str().len() + 16);
    for (position, segment) in path.as_str().split('/').enumerate() {
        if position > 0 {
            encoded.push('/');
        }
        encoded.extend(component(segment));
    }
    encoded
}

/// One segment or one query value, percent-encoded.
pub(crate) fn component(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

#[cfg(test)]
mod tests {
    use super::{encode, parse};
    use kvs_core::path::Path;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    #[test]
    fn characters_with_a_meaning_in_urls_are_encoded_and_separators_are_not() {
        let path = parse("a b/c?d#e/f%2Fg/ü&=+;").expect("a valid path");
        assert_eq!(encode(&path), "a%20b/c%3Fd%23e/f%252Fg/%C3%BC%26%3D%2B%3B");
    }

    #[test]
    fn a_leading_slash_names_the_same_path() {
        assert_eq!(encode(&parse("/a/b").expect("a path")), encode(&parse("a/b").expect("a path")));
    }

    #[test]
    fn a_text_that_breaks_the_rules_is_refused_with_its_rule() {
        let error = parse("a//b").expect_err("an empty segment");
        assert!(error.to_string().contains("empty segment"), "{error}");
    }

    proptest! {
        #[test]
        fn the_node_reads_back_exactly_the_path_that_was_encoded(text in "[^/\\p{Cc}]{1,20}(/[^/\\p{Cc}]{1,20}){0,4}") {
            if let Ok(path) = Path::parse(&text) {
                let encoded = encode(&path);
                prop_assert!(encoded.is_ascii());
                prop_assert_eq!(Path::parse_encoded(encoded.as_bytes()), Ok(path));
            }
        }
    }
}
