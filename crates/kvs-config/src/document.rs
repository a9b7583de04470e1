//! The YAML of a configuration file as a flat sequence of keys with values, each with its line.
//!
//! A configuration is one document: a mapping from words to scalars or to lists of scalars. The reader pulls the
//! events of the parser and takes nothing else, so nothing nests, nothing recurses and no alias expands, whatever the
//! file holds. Scalars are kept as written; what they mean is decided by the key (see [`crate::value`]).
//! Left out: anchors, aliases, tags, several documents.

use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use crate::error::{ConfigError, Place};
use crate::limits::LIST_VALUES_MAX;

/// What is expected where something else than a configuration stands.
const MAPPING_EXPECTED: &str = "expected one \"key: value\" per line";

/// What YAML has and a configuration does not need.
const EXTRAS_REFUSED: &str =
    "expected no anchors, aliases or tags; put a text that begins with * & or ! in quotes";

/// A value as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Raw {
    /// A text without quotes.
    Plain(String),
    /// A text in quotes, or a block of text.
    Quoted(String),
    /// A list of texts, each with its line.
    List(Vec<(Raw, usize)>),
    /// More values in a list than [`LIST_VALUES_MAX`].
    LongList,
    /// A mapping, or a list that holds one or another list. What follows it was not read.
    Nested,
    /// The text of an environment variable.
    Variable(String),
}

/// A key with its value. `line` is where the key stands.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Raw,
    pub(crate) line: usize,
}

/// Reads entry after entry. After an error or a value that is [`Raw::Nested`] or [`Raw::LongList`] it must not be
/// asked again: the place in the text is then unknown.
pub(crate) struct Document<'text> {
    parser: Parser<'text, StrInput<'text>>,
    path: PathBuf,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Start,
    Mapping,
    End,
}

impl<'text> Document<'text> {
    /// A reader of `text`, which was found at `path` (for the errors).
    pub(crate) fn new(text: &'text str, path: &Path) -> Self {
        Self { parser: Parser::new_from_str(text), path: path.to_owned(), state: State::Start }
    }

    /// The next key and value; `None` at the end.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, ConfigError> {
        if self.state == State::Start {
            self.open()?;
        }
        if self.state == State::End {
            return Ok(None);
        }
        match self.event()? {
            (Event::MappingEnd, _) => {
                self.close()?;
                Ok(None)
            }
            (event, span) => {
                let line = span.start.line();
                let Some(Raw::Plain(key) | Raw::Quoted(key)) = self.scalar(event, line)? else {
                    return Err(self.syntax(line, MAPPING_EXPECTED));
                };
                Ok(Some(Entry { key, value: self.value()?, line }))
            }
        }
    }

    /// Goes to the first key, or to the end when there is none.
    fn open(&mut self) -> Result<(), ConfigError> {
        loop {
            let (event, span) = self.event()?;
            let line = span.start.line();
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd => {
                    self.state = State::End;
                    return Ok(());
                }
                Event::MappingStart(anchor, tag) => {
                    self.refuse_extras(anchor, tag, line)?;
                    self.state = State::Mapping;
                    return Ok(());
                }
                // A document of nothing but comments after `---`.
                Event::Scalar(text, ScalarStyle::Plain, 0, None) if text.is_empty() => return self.close(),
                _ => return Err(self.syntax(line, MAPPING_EXPECTED)),
            }
        }
    }

    /// Makes sure that nothing follows the one document.
    fn close(&mut self) -> Result<(), ConfigError> {
        loop {
            let (event, span) = self.event()?;
            match event {
                Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => {
                    self.state = State::End;
                    return Ok(());
                }
                _ => {
                    return Err(
                        self.syntax(span.start.line(), "expected one document, and here a second one begins")
                    );
                }
            }
        }
    }

    fn value(&mut self) -> Result<Raw, ConfigError> {
        let (event, span) = self.event()?;
        let line = span.start.line();
        match event {
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(anchor, tag, line)?;
                self.list()
            }
            other => Ok(self.scalar(other, line)?.unwrap_or(Raw::Nested)),
        }
    }

    fn list(&mut self) -> Result<Raw, ConfigError> {
        let mut values = Vec::new();
        loop {
            let (event, span) = self.event()?;
            if event == Event::SequenceEnd {
                return Ok(Raw::List(values));
            }
            if values.len() == LIST_VALUES_MAX {
                return Ok(Raw::LongList);
            }
            let line = span.start.line();
            match self.scalar(event, line)? {
                Some(value) => values.push((value, line)),
                None => return Ok(Raw::Nested),
            }
        }
    }

    /// The scalar of an event; `None` when it is the start of something larger.
    fn scalar(&self, event: Event<'_>, line: usize) -> Result<Option<Raw>, ConfigError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_extras(anchor, tag, line)?;
                let text = text.into_owned();
                Ok(Some(if style == ScalarStyle::Plain { Raw::Plain(text) } else { Raw::Quoted(text) }))
            }
            Event::Alias(_) => Err(self.syntax(line, EXTRAS_REFUSED)),
            _ => Ok(None),
        }
    }

    fn refuse_extras<Tag>(&self, anchor: usize, tag: Option<Tag>, line: usize) -> Result<(), ConfigError> {
        if anchor == 0 && tag.is_none() { Ok(()) } else { Err(self.syntax(line, EXTRAS_REFUSED)) }
    }

    fn event(&mut self) -> Result<(Event<'text>, Span), ConfigError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.scan_error(&error)),
            // The caller stops at the end of the stream, so this is a file that ends before its structures do.
            None => Err(self.syntax(1, MAPPING_EXPECTED)),
        }
    }

    fn scan_error(&self, error: &ScanError) -> ConfigError {
        let hint = match error.info() {
            info if info.contains("anchor") => "; put a text that begins with * or & in quotes",
            info if info.contains("unexpected character") => "; put a text that begins with it in quotes",
            _ => "",
        };
        let reason = format!("expected YAML, one \"key: value\" per line: {}{hint}", error.info());
        self.syntax(error.marker().line(), &reason)
    }

    fn syntax(&self, line: usize, reason: &str) -> ConfigError {
        ConfigError::Syntax {
            place: Place::Line { path: self.path.clone(), line },
            reason: reason.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, Raw, usize)>, String> {
        let mut document = Document::new(text, Path::new("c.yaml"));
        let mut entries = Vec::new();
        while let Some(entry) = document.next_entry().map_err(|error| error.to_string())? {
            let last = matches!(entry.value, Raw::Nested | Raw::LongList);
            entries.push((entry.key, entry.value, entry.line));
            if last {
                break;
            }
        }
        Ok(entries)
    }

    fn refusal(text: &str) -> String {
        read(text).unwrap_err()
    }

    #[test]
    fn keys_come_with_their_values_and_lines() {
        let entries = read("# c\n\na: 1\nb: \"2\"\nc:\nd: [x, 'y']\ne:\n  - z\n").unwrap();
        let plain = |text: &str| Raw::Plain(text.to_owned());
        assert_eq!(
            entries,
            [
                ("a".to_owned(), plain("1"), 3),
                ("b".to_owned(), Raw::Quoted("2".to_owned()), 4),
                ("c".to_owned(), plain(""), 5),
                ("d".to_owned(), Raw::List(vec![(plain("x"), 6), (Raw::Quoted("y".to_owned()), 6)]), 6),
                ("e".to_owned(), Raw::List(vec![(plain("z"), 8)]), 7),
            ]
        );
    }

    #[test]
    fn nothing_but_comments_is_an_empty_document() {
        for text in ["", "\n", "# only\n", "---\n", "---\n# only\n...\n", "\u{feff}", "{}"] {
            assert_eq!(read(text), Ok(Vec::new()), "{text:?}");
        }
    }

    #[test]
    fn a_second_document_is_refused() {
        assert_eq!(
            refusal("a: 1\n---\nb: 2\n"),
            "c.yaml:2: expected one document, and here a second one begins"
        );
    }

    #[test]
    fn what_is_not_a_mapping_is_refused() {
        for text in ["hello\n", "- a\n", "port:8080\n", "[a]: 1\n", "? {a: 1}\n: 2\n"] {
            assert_eq!(refusal(text), "c.yaml:1: expected one \"key: value\" per line", "{text:?}");
        }
    }

    #[test]
    fn anchors_aliases_and_tags_are_refused() {
        for text in ["a: &x 1\n", "a: !!int 1\n", "a: !x [1]\n", "&x a: 1\n", "&x\na: 1\n", "a: [&x 1, *x]\n"]
        {
            let refusal = refusal(text);
            assert!(refusal.contains("in quotes"), "{text:?}: {refusal}");
        }
        assert_eq!(
            refusal("a: 1\nb: */5 * * * *\n"),
            "c.yaml:2: expected YAML, one \"key: value\" per line: while parsing node, found unknown anchor; put a text that begins with * or & in quotes"
        );
    }

    #[test]
    fn depth_and_length_are_bounded() {
        assert_eq!(read("a: [[1]]").unwrap(), [("a".to_owned(), Raw::Nested, 1)]);
        assert_eq!(read("a: {b: 1}").unwrap(), [("a".to_owned(), Raw::Nested, 1)]);
        assert_eq!(
            read(&format!("a: [{}]", "1,".repeat(257))).unwrap(),
            [("a".to_owned(), Raw::LongList, 1)]
        );
    }
}
