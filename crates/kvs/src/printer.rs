//! The only place that prints: tables for people on a terminal, plain lines or JSON otherwise.
//!
//! Results go to standard output, notes and errors to standard error. Text that came from a node or a file is printed
//! without control characters, so that a stored value cannot move a terminal's cursor.

use std::io::{self, IsTerminal, Write};

use chrono::{DateTime, Local};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

/// Longest value shown in a table, in characters.
const VALUE_CHARS_MAX: usize = 48;

/// Narrowest terminal in which tables are wrapped, in characters.
const TABLE_COLUMNS_MIN: u16 = 40;

/// Whether anybody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A person at a terminal.
    Person,
    /// A program, a file or a pipe.
    Program,
}

/// Where results are written.
#[derive(Debug)]
pub(crate) struct Printer {
    audience: Audience,
}

impl Printer {
    /// A printer to standard output.
    pub(crate) fn new() -> Self {
        let audience = if io::stdout().is_terminal() { Audience::Person } else { Audience::Program };
        Self { audience }
    }

    /// Who reads standard output.
    pub(crate) const fn audience(&self) -> Audience {
        self.audience
    }

    /// Prints one line.
    ///
    /// # Errors
    ///
    /// Whatever writing to standard output gives; [`io::ErrorKind::BrokenPipe`] when nobody reads any more.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")
    }

    /// Prints a value as one line of JSON.
    ///
    /// # Errors
    ///
    /// As [`Self::line`].
    pub(crate) fn json(&self, value: &impl Serialize) -> io::Result<()> {
        self.line(&serde_json::to_string(value)?)
    }

    /// Prints rows under their titles: a table for a person, tab-separated lines without titles for a program.
    ///
    /// # Errors
    ///
    /// As [`Self::line`].
    pub(crate) fn rows(&self, titles: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        match self.audience {
            Audience::Person => {
                let mut table = plain_table();
                table.set_header(titles.iter().copied());
                table.add_rows(rows.iter().map(|row| row.iter().map(|cell| printable(cell))));
                self.line(&table.trim_fmt())
            }
            Audience::Program => rows.iter().try_for_each(|row| {
                let cells: Vec<String> = row.iter().map(|cell| printable(cell)).collect();
                self.line(&cells.join("\t"))
            }),
        }
    }

    /// Prints named values, one a line.
    ///
    /// # Errors
    ///
    /// As [`Self::line`].
    pub(crate) fn facts(&self, facts: &[Fact]) -> io::Result<()> {
        write_facts(&mut io::stdout().lock(), self.audience, facts)
    }

    /// A stored value for a cell of a table: on one line, and short where a person reads.
    pub(crate) fn value(&self, json: &str) -> String {
        match self.audience {
            Audience::Program => json.to_owned(),
            Audience::Person => shortened(json),
        }
    }

    /// A point in time: local time for a person, milliseconds since 1970 for a program.
    pub(crate) fn time(&self, at_ms: u64) -> String {
        let local = i64::try_from(at_ms).ok().and_then(DateTime::from_timestamp_millis);
        match (self.audience, local) {
            (Audience::Person, Some(at)) => at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string(),
            _ => at_ms.to_string(),
        }
    }
}

/// A name and its value, with a word of explanation.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    name: String,
    value: String,
    remark: &'static str,
}

impl Fact {
    /// A value that speaks for itself.
    pub(crate) fn new(name: impl Into<String>, value: impl ToString) -> Self {
        Self { name: name.into(), value: value.to_string(), remark: "" }
    }

    /// The same with an explanation.
    pub(crate) const fn with_remark(mut self, remark: &'static str) -> Self {
        self.remark = remark;
        self
    }
}

/// Prints named values on standard error, where standard output carries data.
///
/// # Errors
///
/// Whatever writing to standard error gives.
pub(crate) fn note_facts(facts: &[Fact]) -> io::Result<()> {
    let audience = if io::stderr().is_terminal() { Audience::Person } else { Audience::Program };
    write_facts(&mut io::stderr().lock(), audience, facts)
}

/// Prints lines on standard error. There is nowhere to say that this failed.
pub(crate) fn note(text: &str) {
    let mut out = io::stderr().lock();
    for line in text.lines() {
        drop(writeln!(out, "{}", printable(line)));
    }
}

/// Prints an error and its causes on standard error.
pub(crate) fn error(error: &anyhow::Error) {
    note(&format!("kvs: {}", sentence(error)));
}

/// An error and its causes; a cause that the text before it already tells is left out.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn write_facts(out: &mut dyn Write, audience: Audience, facts: &[Fact]) -> io::Result<()> {
    match audience {
        Audience::Person => {
            let mut table = plain_table();
            for Fact { name, value, remark } in facts {
                let value = Cell::new(printable(value)).set_alignment(CellAlignment::Right);
                table.add_row([Cell::new(name), value, Cell::new(remark)]);
            }
            writeln!(out, "{}", table.trim_fmt())
        }
        Audience::Program => {
            facts.iter().try_for_each(|fact| writeln!(out, "{}: {}", fact.name, printable(&fact.value)))
        }
    }
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // Wraps at the terminal's width, unless that is unknown or too small for columns.
    if table.width().is_some_and(|columns| columns >= TABLE_COLUMNS_MIN) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// The text without control characters: line breaks and tabs between the parts of a JSON value become spaces.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Audience, Fact, Printer, printable, sentence, shortened, write_facts};

    #[test]
    fn a_value_cannot_move_the_cursor() {
        assert_eq!(printable("a\x1b[2J\nb\u{9b}c"), "a [2J b c");
    }

    #[test]
    fn a_cause_is_told_once() {
        let told = anyhow::anyhow!("inner").context("outer: inner");
        assert_eq!(sentence(&told), "outer: inner");
        let untold = anyhow::anyhow!("inner").context("outer");
        assert_eq!(sentence(&untold), "outer: inner");
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(shortened(&"ü".repeat(49)), format!("{}…", "ü".repeat(48)));
        assert_eq!(shortened(&"ü".repeat(48)), "ü".repeat(48));
    }

    #[test]
    fn times_are_numbers_for_programs() {
        assert_eq!(Printer { audience: Audience::Program }.time(1_672_531_200_000), "1672531200000");
        assert!(Printer { audience: Audience::Person }.time(1_672_531_200_000).starts_with("202"));
        assert_eq!(Printer { audience: Audience::Person }.time(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn facts_are_lines_for_programs_and_columns_for_people() {
        let facts = [Fact::new("lines", 12).with_remark("read"), Fact::new("created keys", 7)];
        let text = |audience| {
            let mut out = Vec::new();
            write_facts(&mut out, audience, &facts).expect("memory");
            String::from_utf8(out).expect("UTF-8")
        };
        assert_eq!(text(Audience::Program), "lines: 12\ncreated keys: 7\n");
        let table = text(Audience::Person);
        assert!(table.contains("12") && table.contains("read"), "{table}");
    }
}
