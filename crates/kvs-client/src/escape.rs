//! A field's text as a part of a path segment, without loss.
//!
//! A segment cannot hold `/`, so a field's `/` is written `%2F`. For that to be undone, `%` itself is written `%25`:
//! any percent-decoder gives the field back, and two different texts never become one. (A look-alike such as U+2215
//! would meet the texts that already hold it.) Where another field follows in the same segment, the first character
//! of what stands between them is written the same way, so that `x-y`,`z` and `x`,`y-z` do not meet in `{a}-{b}`. A
//! text that is literally the placeholder of empty fields is told apart from it by escaping its first character.
//!
//! The text arrives in the path as written here; on the wire a URL encodes its `%` once more, as it does for every `%`
//! of a path.

/// Whether a text had to be changed to stand in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escaped {
    /// It stands there as it is.
    Unchanged,
    /// At least one character is written as `%XX`.
    Changed,
}

/// Appends `text`, which is not empty, to `segment`. `stop` is the character that ends the field inside its segment, if
/// any; `placeholder` is what stands for an empty field.
pub(crate) fn push_escaped(
    segment: &mut String,
    text: &str,
    stop: Option<char>,
    placeholder: &str,
) -> Escaped {
    let mut escaped = Escaped::Unchanged;
    let is_placeholder = text == placeholder;
    for (position, char) in text.char_indices() {
        if char == '/' || char == '%' || Some(char) == stop || (is_placeholder && position == 0) {
            push_percent(segment, char);
            escaped = Escaped::Changed;
        } else {
            segment.push(char);
        }
    }
    escaped
}

/// Appends one character as the percent-encoded bytes of its UTF-8.
fn push_percent(segment: &mut String, char: char) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble & 0xf)).copied().unwrap_or('0');
    for byte in char.encode_utf8(&mut [0; 4]).bytes() {
        segment.extend(['%', digit(byte >> 4), digit(byte)]);
    }
}

#[cfg(test)]
mod tests {
    use super::{Escaped, push_escaped};
    use percent_encoding::percent_decode_str;
    use proptest::prelude::{prop_assert_eq, prop_assert_ne, proptest};

    fn escape(text: &str, stop: Option<char>) -> (String, Escaped) {
        let mut segment = String::new();
        let escaped = push_escaped(&mut segment, text, stop, "-");
        (segment, escaped)
    }

    #[test]
    fn slash_and_percent_are_escaped_and_nothing_else() {
        assert_eq!(escape("a/b%2F", None), ("a%2Fb%252F".to_owned(), Escaped::Changed));
        assert_eq!(escape("Zürich-Süd (1)", None), ("Zürich-Süd (1)".to_owned(), Escaped::Unchanged));
    }

    #[test]
    fn the_character_that_ends_the_field_is_escaped() {
        assert_eq!(escape("x-y", Some('-')).0, "x%2Dy");
        assert_eq!(escape("x→y", Some('→')).0, "x%E2%86%92y");
    }

    #[test]
    fn a_text_that_is_the_placeholder_is_told_apart_from_it() {
        assert_eq!(escape("-", None), ("%2D".to_owned(), Escaped::Changed));
        assert_eq!(escape("--", None), ("--".to_owned(), Escaped::Unchanged));
    }

    proptest! {
        #[test]
        fn any_percent_decoder_gives_the_text_back(text in "\\PC{1,20}", stop in proptest::option::of("[-_a→2%]")) {
            let stop = stop.and_then(|it| it.chars().next());
            let (segment, _) = escape(&text, stop);
            prop_assert_eq!(percent_decode_str(&segment).decode_utf8().expect("UTF-8"), text.as_str());
            prop_assert_ne!(segment.as_str(), "-");
        }
    }
}
