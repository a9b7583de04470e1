//! The keys that take one word out of a few: `durability`, `log_level`, `log_format`.
//!
//! Each enum carries its words, and the table of keys takes them from here, so that neither can have one more.

/// When a write is on disk, seen from its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before the answer: the fsync has returned.
    Always,
    /// Within a short interval after the answer; a power cut can take the last writes.
    Interval,
    /// When the operating system likes.
    Never,
}

/// The least severe event that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is wrong but served.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Durability {
    /// The words of the configuration, in the order of the variants.
    pub const WORDS: &'static [&'static str] = &["always", "interval", "never"];
    const ALL: [Self; 3] = [Self::Always, Self::Interval, Self::Never];

    /// The variant of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        pick(Self::WORDS, &Self::ALL, word)
    }
}

impl LogLevel {
    /// The words of the configuration, in the order of the variants.
    pub const WORDS: &'static [&'static str] = &["error", "warn", "info", "debug", "trace"];
    const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The variant of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        pick(Self::WORDS, &Self::ALL, word)
    }
}

impl LogFormat {
    /// The words of the configuration, in the order of the variants.
    pub const WORDS: &'static [&'static str] = &["text", "json"];
    const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// The variant of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        pick(Self::WORDS, &Self::ALL, word)
    }
}

fn pick<T: Copy>(words: &[&str], all: &[T], word: &str) -> Option<T> {
    let place = words.iter().position(|known| *known == word)?;
    all.get(place).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_its_variant() {
        assert_eq!(Durability::from_word("interval"), Some(Durability::Interval));
        assert_eq!(LogLevel::from_word("trace"), Some(LogLevel::Trace));
        assert_eq!(LogFormat::from_word("json"), Some(LogFormat::Json));
        assert_eq!(LogLevel::from_word("loud"), None);
        assert_eq!(Durability::WORDS.len(), Durability::ALL.len());
        assert_eq!(LogLevel::WORDS.len(), LogLevel::ALL.len());
        assert_eq!(LogFormat::WORDS.len(), LogFormat::ALL.len());
    }
}
