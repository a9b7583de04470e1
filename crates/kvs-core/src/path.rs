//! A key's path: its rules, and the one place where a path is read from a URL.
//!
//! A [`Path`] in hand is valid: 1 to 1,024 bytes of UTF-8 in 1 to 64 segments. It holds exactly the decoded text;
//! nothing is normalised, so two different texts are two different keys. The raw bytes of the request are decoded
//! here once; a router that decodes before would turn `%2F` into a separator.
//!
//! Source: the HTTP contract, section "Paths" (docs/http-api.md); RFC 3986 section 2.1 for percent-encoding.

use bytes::Bytes;

use crate::limits::{PATH_BYTES_MAX, PATH_SEGMENTS_MAX};

/// Why a text is no path. Nothing is kept of the refused text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No bytes, or only the optional leading slash.
    #[error("the path is empty")]
    Empty,
    /// More than [`PATH_BYTES_MAX`] bytes after decoding.
    #[error("the path is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`PATH_SEGMENTS_MAX`] segments.
    #[error("the path has more than {PATH_SEGMENTS_MAX} segments")]
    TooManySegments,
    /// Two slashes in a row, or a slash at the end.
    #[error("the path has an empty segment (a doubled or trailing slash)")]
    EmptySegment,
    /// A segment that is `.` or `..`.
    #[error("the path has a segment '.' or '..'")]
    DotSegment,
    /// A control character (U+0000..=U+001F, U+007F..=U+009F).
    #[error("the path has a control character")]
    ControlCharacter,
    /// `%2F`: a slash that is no separator.
    #[error("the path has an encoded slash (%2F)")]
    EncodedSlash,
    /// `%` without two hexadecimal digits behind it.
    #[error("the path has a '%' without two hexadecimal digits behind it")]
    BadEscape,
    /// Bytes that are not UTF-8 after decoding.
    #[error("the path is not valid UTF-8")]
    InvalidUtf8,
    /// The first segment begins with `_`.
    #[error("paths that begin with '_' are reserved")]
    Reserved,
}

/// A valid path, without the leading slash. Cheap to clone (one reference count).
///
/// Ordered by its bytes, which is the order of every listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Bytes);

impl Path {
    /// Reads a decoded text; one leading `/` is optional.
    ///
    /// # Errors
    ///
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let text = text.strip_prefix('/').unwrap_or(text);
        validate(text)?;
        Ok(Self(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// Reads the part of a request target behind the route (`users/j%C3%BCrgen`), percent-decoding it once.
    ///
    /// # Errors
    ///
    /// The rule that the text breaks.
    pub fn parse_encoded(raw: &[u8]) -> Result<Self, PathError> {
        let raw = raw.strip_prefix(b"/").unwrap_or(raw);
        if let Some(decoded) = DecodedText::of_raw(raw) {
            let text = std::str::from_utf8(decoded.as_bytes()).map_err(|_| PathError::InvalidUtf8)?;
            validate(text)?;
            return Ok(Self(Bytes::copy_from_slice(raw)));
        }
        // Three raw bytes make at least one decoded byte: refuse before decoding what cannot fit.
        if raw.len() > PATH_BYTES_MAX * 3 {
            return Err(PathError::TooLong);
        }
        let decoded = decode(raw)?;
        let text = std::str::from_utf8(&decoded).map_err(|_| PathError::InvalidUtf8)?;
        validate(text)?;
        Ok(Self(Bytes::from(decoded)))
    }

    /// Reads stored bytes, which obey the same rules.
    ///
    /// # Errors
    ///
    /// The rule that the bytes break: the store they came from is damaged.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, PathError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PathError::InvalidUtf8)?;
        validate(text)?;
        Ok(Self(Bytes::copy_from_slice(bytes)))
    }

    /// The text, 1..=1024 bytes, no leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Validated as UTF-8 when it was made; an empty text is no path, so a fallback could never be mistaken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The bytes of the text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The paths above it, the nearest first: `a/b` and `a` for `a/b/c`.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + use<> {
        let path = self.0.clone();
        let mut end = path.len();
        std::iter::from_fn(move || {
            end = path.get(..end)?.iter().rposition(|byte| *byte == b'/')?;
            // A valid path up to a separator is a valid path.
            Some(Self(path.slice(..end)))
        })
    }

    /// Whether `self` lies below `ancestor` (`a/b` below `a`; not `ab`), or is it.
    #[must_use]
    pub fn is_within(&self, ancestor: &Self) -> bool {
        match self.0.strip_prefix(ancestor.as_bytes()) {
            Some(rest) => rest.is_empty() || rest.starts_with(b"/"),
            None => false,
        }
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text behind its decoding, which need not be a valid path: what may be compared with the texts of paths.
///
/// A raw text is not one, since what spells one path may be the text of another: the text of `a%20b` is `a b`, and
/// `a%20b` is the text of `a%2520b`. So whatever is looked up by text takes this type and no bytes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodedText<'a>(&'a [u8]);

impl<'a> DecodedText<'a> {
    /// A raw text that decoding leaves as it is; `None` for one with a `%`, which must be read as a path.
    #[must_use]
    pub fn of_raw(raw: &'a [u8]) -> Option<Self> {
        (!raw.contains(&b'%')).then_some(Self(raw))
    }

    /// The bytes of the text.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> From<&'a Path> for DecodedText<'a> {
    fn from(path: &'a Path) -> Self {
        Self(path.as_bytes())
    }
}

fn validate(text: &str) -> Result<(), PathError> {
    if text.is_empty() {
        return Err(PathError::Empty);
    }
    if text.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong);
    }
    if text.starts_with('_') {
        return Err(PathError::Reserved);
    }
    if has_control_character(text) {
        return Err(PathError::ControlCharacter);
    }
    let mut segments = 0;
    for segment in text.split('/') {
        match segment {
            "" => return Err(PathError::EmptySegment),
            "." | ".." => return Err(PathError::DotSegment),
            _ => segments += 1,
        }
    }
    if segments > PATH_SEGMENTS_MAX {
        return Err(PathError::TooManySegments);
    }
    Ok(())
}

fn has_control_character(text: &str) -> bool {
    if text.is_ascii() {
        return text.bytes().any(|byte| byte < 0x20 || byte == 0x7f);
    }
    text.chars().any(char::is_control)
}

fn decode(raw: &[u8]) -> Result<Vec<u8>, PathError> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (Some(high), Some(low)) = (rest.next(), rest.next()) else {
            return Err(PathError::BadEscape);
        };
        let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low)) else {
            return Err(PathError::BadEscape);
        };
        match high << 4 | low {
            b'/' => return Err(PathError::EncodedSlash),
            byte => decoded.push(byte),
        }
    }
    Ok(decoded)
}

const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodedText, Path, PathError};
    use crate::limits::{PATH_BYTES_MAX, PATH_SEGMENTS_MAX};
    use proptest::prelude::{any, proptest};

    fn encoded(raw: &str) -> Result<String, PathError> {
        Path::parse_encoded(raw.as_bytes()).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn ancestors_come_nearest_first() {
        let above = |text: &str| -> Vec<String> {
            Path::parse(text).unwrap().ancestors().map(|path| path.as_str().to_owned()).collect()
        };
        assert_eq!(above("a/ü/c"), ["a/ü", "a"]);
        assert!(above("a").is_empty());
    }

    #[test]
    fn a_leading_slash_names_the_same_key() {
        assert_eq!(Path::parse("/home/room"), Path::parse("home/room"));
        assert_eq!(encoded("/home/room"), Ok("home/room".into()));
    }

    #[test]
    fn each_rule_refuses_with_its_own_reason() {
        for (raw, reason) in [
            ("", PathError::Empty),
            ("/", PathError::Empty),
            ("//a", PathError::EmptySegment),
            ("a//b", PathError::EmptySegment),
            ("a/", PathError::EmptySegment),
            ("a/../b", PathError::DotSegment),
            ("./a", PathError::DotSegment),
            ("%2e%2E/a", PathError::DotSegment),
            ("a%2Fb", PathError::EncodedSlash),
            ("a%2fb", PathError::EncodedSlash),
            ("a%00b", PathError::ControlCharacter),
            ("a%0Ab", PathError::ControlCharacter),
            ("a%7F", PathError::ControlCharacter),
            ("a%C2%85", PathError::ControlCharacter),
            ("_range", PathError::Reserved),
            ("%5Frange", PathError::Reserved),
            ("/_range", PathError::Reserved),
            ("a%FF", PathError::InvalidUtf8),
            ("a%C3%28", PathError::InvalidUtf8),
            ("a%ED%A0%80", PathError::InvalidUtf8),
            ("a%", PathError::BadEscape),
            ("a%4", PathError::BadEscape),
            ("a%zz", PathError::BadEscape),
            ("a%+1", PathError::BadEscape),
        ] {
            assert_eq!(encoded(raw), Err(reason), "{raw:?}");
        }
        assert_eq!(Path::parse_encoded(b"a\xff"), Err(PathError::InvalidUtf8));
    }

    #[test]
    fn the_bounds_are_exact() {
        assert!(Path::parse(&"x".repeat(PATH_BYTES_MAX)).is_ok());
        assert_eq!(Path::parse(&"x".repeat(PATH_BYTES_MAX + 1)), Err(PathError::TooLong));
        assert!(encoded(&"%78".repeat(PATH_BYTES_MAX)).is_ok());
        assert_eq!(encoded(&"%78".repeat(PATH_BYTES_MAX + 1)), Err(PathError::TooLong));
        let segments = |count: usize| vec!["s"; count].join("/");
        assert!(Path::parse(&segments(PATH_SEGMENTS_MAX)).is_ok());
        assert_eq!(Path::parse(&segments(PATH_SEGMENTS_MAX + 1)), Err(PathError::TooManySegments));
    }

    #[test]
    fn text_is_decoded_once_and_never_normalised() {
        assert_eq!(encoded("a%252Fb"), Ok("a%2Fb".into()));
        assert_eq!(encoded("a+b"), Ok("a+b".into()));
        assert_eq!(encoded("%F0%9F%A7%A6"), Ok("\u{1F9E6}".into()));
        let composed = encoded("caf%C3%A9").unwrap();
        let decomposed = encoded("cafe%CC%81").unwrap();
        assert_ne!(composed, decomposed);
        assert_eq!(encoded("a/_b"), Ok("a/_b".into()));
        assert_eq!(encoded("..."), Ok("...".into()));
    }

    #[test]
    fn a_subtree_ends_at_a_segment() {
        let path = |text| Path::parse(text).unwrap();
        assert!(path("a/b").is_within(&path("a")));
        assert!(path("a").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
        assert!(!path("a").is_within(&path("a/b")));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_read_reads_back_the_same(raw in proptest::collection::vec(any::<u8>(), 0..1200)) {
            if let Ok(path) = Path::parse_encoded(&raw) {
                assert_eq!(Path::from_stored(path.as_bytes()), Ok(path.clone()));
                assert_eq!(Path::parse(path.as_str()), Ok(path));
            }
        }

        #[test]
        fn what_decoding_leaves_alone_is_what_has_no_escape(raw in "[a-z%25+é/]{1,12}") {
            match DecodedText::of_raw(raw.as_bytes()) {
                Some(text) => {
                    assert_eq!(text.as_bytes(), raw.as_bytes());
                    assert_eq!(Path::parse_encoded(raw.as_bytes()), Path::parse(&raw));
                }
                None => assert_ne!(Path::parse_encoded(raw.as_bytes()).ok().as_ref().map(Path::as_str), Some(&*raw)),
            }
        }

        #[test]
        fn escaping_every_byte_changes_nothing(text in "[a-z%é_./]{1,40}") {
            let escaped: String = text
                .bytes()
                .map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02X}") })
                .collect();
            assert_eq!(Path::parse_encoded(escaped.as_bytes()), Path::parse(&text));
        }

        #[test]
        fn different_texts_are_different_keys(left in "[a-zé/]{1,12}", right in "[a-zé/]{1,12}") {
            if let (Ok(left_path), Ok(right_path)) = (Path::parse(&left), Path::parse(&right)) {
                let same = left.trim_start_matches('/') == right.trim_start_matches('/');
                assert_eq!(left_path == right_path, same);
            }
        }
    }
}
