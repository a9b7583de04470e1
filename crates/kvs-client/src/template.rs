//! The key template of an import: `cities/{country}/{admin1}/{name}`.
//!
//! A template is read once and refused when it could make two different lines meet without saying so. Rendering is a
//! pure function from the texts of the fields to a valid path, with a count of what had to be changed.
//!
//! **Invariant:** two different tuples of field texts never give one key, where an empty field and a missing one
//! count as the same text. `escape.rs` says how.

use kvs_core::path::{Path, PathError};

use crate::error::ClientError;
use crate::escape::{Escaped, push_escaped};

/// One stretch of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Text that stands in every key, separators included.
    Text(String),
    /// The field at this position of [`Template::fields`].
    Field {
        /// Position in the list of names.
        position: usize,
        /// The character that ends the field, when another field follows in the same segment.
        stop: Option<char>,
    },
}

/// A key template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    fields: Vec<String>,
    placeholder: String,
}

/// A key made from one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// The key.
    pub(crate) path: Path,
    /// Fields in which a character had to be escaped.
    pub(crate) escaped_fields: u64,
    /// Fields that were empty, null or missing.
    pub(crate) empty_fields: u64,
}

impl Template {
    /// Reads a template. `{name}` stands for the text of that member of the line, `{{` and `}}` for braces; everything
    /// else stands for itself. `placeholder` is written for an empty field.
    ///
    /// # Errors
    ///
    /// [`ClientError::BadTemplate`] when no field is named, two fields touch, or no key made from it can be a path.
    pub fn parse(template: &str, placeholder: &str) -> Result<Self, ClientError> {
        let bad = |reason: String| ClientError::BadTemplate { template: template.to_owned(), reason };
        if placeholder.is_empty() || placeholder.contains(['/', '%']) || matches!(placeholder, "." | "..") {
            return Err(bad(format!(
                "the text for empty fields must be a path segment without '%', not {placeholder:?}"
            )));
        }
        let mut read = Self { pieces: Vec::new(), fields: Vec::new(), placeholder: placeholder.to_owned() };
        read.read_pieces(template).map_err(bad)?;
        read.set_stops().map_err(bad)?;
        if read.fields.is_empty() {
            return Err(bad("it names no field, so that every line would get one key".to_owned()));
        }
        let sample = vec![Some("x"); read.fields.len()];
        read.render(&sample).map_err(|error| bad(error.to_string()))?;
        Ok(read)
    }

    /// The names of the fields, each once, in the order of their first use.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Makes the key of one line; `texts` stand in the order of [`Self::fields`], `None` or an empty text for an empty
    /// field.
    ///
    /// # Errors
    ///
    /// The rule of paths that the key would break.
    pub(crate) fn render(&self, texts: &[Option<&str>]) -> Result<Rendered, PathError> {
        let mut key = String::with_capacity(64);
        let (mut escaped_fields, mut empty_fields) = (0, 0);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => key.push_str(text),
                Piece::Field { position, stop } => match texts.get(*position).copied().flatten() {
                    None | Some("") => {
                        key.push_str(&self.placeholder);
                        empty_fields += 1;
                    }
                    Some(text) => match push_escaped(&mut key, text, *stop, &self.placeholder) {
                        Escaped::Changed => escaped_fields += 1,
                        Escaped::Unchanged => {}
                    },
                },
            }
        }
        Ok(Rendered { path: Path::parse(&key)?, escaped_fields, empty_fields })
    }

    /// Splits the template into text and fields.
    fn read_pieces(&mut self, template: &str) -> Result<(), String> {
        let mut text = String::new();
        let mut chars = template.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '{' | '}' if chars.peek() == Some(&char) => {
                    chars.next();
                    text.push(char);
                }
                '}' => return Err("a '}' closes nothing (write '}}' for the character)".to_owned()),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            None | Some('{') => {
                                return Err("a '{' is not closed (write '{{' for the character)".to_owned());
                            }
                            Some('}') => break,
                            Some(char) => name.push(char),
                        }
                    }
                    self.push_text(&mut text);
                    self.push_field(name)?;
                }
                char => text.push(char),
            }
        }
        self.push_text(&mut text);
        Ok(())
    }

    fn push_text(&mut self, text: &mut String) {
        if !text.is_empty() {
            self.pieces.push(Piece::Text(std::mem::take(text)));
        }
    }

    fn push_field(&mut self, name: String) -> Result<(), String> {
        if name.is_empty() {
            return Err("'{}' names no field".to_owned());
        }
        if matches!(self.pieces.last(), Some(Piece::Field { .. })) {
            return Err(format!(
                "text or '/' must stand before {{{name}}} to tell it from the field before it"
            ));
        }
        let position = self.fields.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.fields.push(name);
            self.fields.len() - 1
        });
        self.pieces.push(Piece::Field { position, stop: None });
        Ok(())
    }

    /// Finds for every field what ends it inside its segment.
    fn set_stops(&mut self) -> Result<(), String> {
        let mut stops = Vec::with_capacity(self.pieces.len());
        for (index, piece) in self.pieces.iter().enumerate() {
            let between = match (piece, self.pieces.get(index + 1), self.pieces.get(index + 2)) {
                (Piece::Field { .. }, Some(Piece::Text(text)), Some(Piece::Field { .. })) => text.as_str(),
                _ => "/",
            };
            stops.push(if between.contains('/') { None } else { between.chars().next() });
        }
        for (piece, found) in self.pieces.iter_mut().zip(stops) {
            if let Piece::Field { stop, .. } = piece {
                *stop = found;
            }
        }
        for stop in self.stops() {
            if stop == '%' {
                return Err("'%' cannot stand right behind a field that shares its segment".to_owned());
            }
            if self.placeholder.contains(stop) && !self.placeholder.starts_with(stop) {
                return Err(format!(
                    "the text for empty fields, {:?}, holds {stop:?}, which ends a field",
                    self.placeholder
                ));
            }
        }
        Ok(())
    }

    fn stops(&self) -> impl Iterator<Item = char> + '_ {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Field { stop, .. } => *stop,
            Piece::Text(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Template;
    use kvs_core::path::PathError;
    use proptest::prelude::{Strategy, any, prop_assert_eq, prop_assert_ne, prop_oneof, proptest};
    use proptest::sample::select;

    fn template(text: &str) -> Template {
        Template::parse(text, "-").expect("a usable template")
    }

    fn key(template: &Template, texts: &[&str]) -> Result<String, PathError> {
        let texts: Vec<_> = texts.iter().copied().map(Some).collect();
        template.render(&texts).map(|rendered| rendered.path.as_str().to_owned())
    }

    fn reason(text: &str) -> String {
        Template::parse(text, "-").expect_err("an unusable template").to_string()
    }

    #[test]
    fn a_template_puts_fields_into_segments() {
        let cities = template("cities/{country}/{admin1}/{name}");
        assert_eq!(cities.fields(), ["country", "admin1", "name"]);
        assert_eq!(key(&cities, &["AD", "03", "Vila"]).as_deref(), Ok("cities/AD/03/Vila"));
    }

    #[test]
    fn a_field_may_be_used_twice_and_braces_may_be_written() {
        let twice = template("{a}/{{{a}}}");
        assert_eq!(twice.fields(), ["a"]);
        assert_eq!(key(&twice, &["x"]).as_deref(), Ok("x/{x}"));
    }

    #[test]
    fn an_empty_and_a_missing_field_become_the_placeholder_and_are_counted() {
        let rendered = template("{a}/{b}/{c}").render(&[Some("x"), Some(""), None]).expect("a key");
        assert_eq!((rendered.path.as_str(), rendered.empty_fields), ("x/-/-", 2));
    }

    #[test]
    fn a_slash_in_a_field_is_escaped_and_counted() {
        let rendered = template("{a}/{b}").render(&[Some("km/h"), Some("100%")]).expect("a key");
        assert_eq!((rendered.path.as_str(), rendered.escaped_fields), ("km%2Fh/100%25", 2));
    }

    #[test]
    fn a_key_that_is_no_path_is_refused_with_the_rule() {
        let single = template("{a}");
        assert_eq!(key(&single, &[".."]), Err(PathError::DotSegment));
        assert_eq!(key(&single, &["a\nb"]), Err(PathError::ControlCharacter));
        assert_eq!(key(&single, &["_x"]), Err(PathError::Reserved));
        assert_eq!(key(&single, &["x".repeat(1025).as_str()]), Err(PathError::TooLong));
    }

    #[test]
    fn a_template_that_can_give_no_good_key_is_refused_at_once() {
        assert!(reason("cities").contains("names no field"));
        assert!(reason("{a}{b}").contains("text or '/'"));
        assert!(reason("{a").contains("not closed"));
        assert!(reason("a}").contains("closes nothing"));
        assert!(reason("{}").contains("names no field"));
        assert!(reason("a//{b}").contains("empty segment"));
        assert!(reason("_a/{b}").contains("reserved"));
        assert!(reason("{a}%{b}").contains("'%'"));
    }

    #[test]
    fn a_placeholder_that_could_be_mistaken_is_refused() {
        for placeholder in ["", "/", "a%b", ".", ".."] {
            assert!(Template::parse("{a}", placeholder).is_err(), "{placeholder}");
        }
        assert!(Template::parse("{a}-{b}", "x-y").is_err());
        assert!(Template::parse("{a}-{b}", "-y").is_ok());
    }

    fn text() -> impl Strategy<Value = String> {
        let tricky =
            select(vec!["", "-", "--", "%", "%2D", "%2F", "/", "-/", "2", "D", "x-", "-x", "a.b", "."]);
        prop_oneof![tricky.prop_map(str::to_owned), "[-/%2DFax.~]{0,6}", any::<String>()]
    }

    const SHAPES: [(&str, &str); 6] = [
        ("{a}/{b}/{c}", "-"),
        ("{a}-{b}-{c}", "-"),
        ("{a}-{b}/{c}", "-x"),
        ("{a}--{b}x{c}", "-"),
        ("p/{a}2{b}D{c}.json", "empty"),
        ("{c}, {b}/{a}", "none"),
    ];

    #[test]
    fn every_triple_of_tricky_texts_has_a_key_of_its_own() {
        let texts = [
            "", "-", "--", "-x", "x", "x-", "x-x", "%", "%2D", "%2", "2", "D", "2F", "/", ", ", "none",
            "empty",
        ];
        for (shape, placeholder) in SHAPES {
            let template = Template::parse(shape, placeholder).expect("a usable template");
            let mut keys = std::collections::HashMap::new();
            for a in texts {
                for b in texts {
                    for c in texts {
                        let key = key(&template, &[a, b, c]).expect("a key");
                        assert_eq!(keys.insert(key, (a, b, c)), None, "{shape}: {:?}", (a, b, c));
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn different_fields_never_give_one_key(
            (shape, placeholder) in select(&SHAPES),
            one in proptest::array::uniform3(text()),
            other in proptest::array::uniform3(text()),
        ) {
            let template = Template::parse(shape, placeholder).expect("a usable template");
            let [one, other] = [one, other].map(|texts| {
                (key(&template, &[&texts[0], &texts[1], &texts[2]]), texts)
            });
            match (one, other) {
                ((Ok(one), texts), (Ok(other), others)) if texts == others => prop_assert_eq!(one, other),
                ((Ok(one), _), (Ok(other), _)) => prop_assert_ne!(one, other),
                _ => {}
            }
        }
    }
}
