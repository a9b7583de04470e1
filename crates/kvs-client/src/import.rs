//! An import: lines of JSON into keys, batch by batch, with an account of every line.
//!
//! A line that cannot be stored is refused with its number and a reason, and the others go on. What stops everything is
//! only what would refuse all further lines too: a lost connection, a missing right, a full disk. Batches are sent one
//! after the other, so that the order of the lines is the order of the versions, and running the same import again
//! ends in the same values.
//!
//! Left out: the rules for one line (`line.rs`), for keys (`template.rs`), for repeated keys (`duplicates.rs`).

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::PathBuf;

use kvs_config::duration::parse_ttl;

use crate::batch::{self, Batch, Operation, Outcome};
use crate::clock::{Stopwatch, now_ms};
use crate::duplicates::{Keys, Meeting, NumberError};
use crate::error::ClientError;
use crate::http::Http;
use crate::limits::{KEYS_REMEMBERED_MAX, LINE_BYTES_MAX, NODE_REFUSALS_MAX};
use crate::line::{self, Parsed, Put, Ttl};
use crate::lines::{Line, Lines, Position};
use crate::progress::Progress;
use crate::report::{ImportReport, Refusal};

pub use crate::line::KeySource;

/// What to do with a line whose key an earlier line of the same import has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Write it: the last line wins, the earlier ones are in the key's history.
    Overwrite,
    /// Give it a key of its own: `~2`, `~3` and so on at the end.
    Number,
    /// Leave it out: the first line wins.
    Skip,
}

/// Whether anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Send the values to the node.
    Write,
    /// Read and judge every line, send nothing.
    DryRun,
}

/// How to import.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The input's name, for messages.
    pub input: PathBuf,
    /// Where the keys come from.
    pub keys: KeySource,
    /// What to do about repeated keys.
    pub on_duplicate: OnDuplicate,
    /// A lifetime for every value (`1h`, or a number of seconds), instead of the node's default or the line's own.
    pub ttl: Option<String>,
    /// Whether to write.
    pub mode: Mode,
    /// Where every refused line is written, one JSON object a line: `{"line","path"?,"reason"}`.
    pub errors: Option<PathBuf>,
}

/// Imports `input`, plain or gzipped, and accounts for every line of it. Never fails as a whole: what stopped it early is
/// in [`ImportReport::stopped`], and what was stored before stays stored.
pub fn import(http: &Http, input: impl Read, options: &ImportOptions, progress: &Progress) -> ImportReport {
    let stopwatch = Stopwatch::start();
    let mut import = Import {
        http,
        options,
        progress,
        keys: Keys::new(),
        batch: Batch::default(),
        errors: None,
        node_refusals: 0,
        report: ImportReport::default(),
    };
    let outcome = import.run(input);
    import.report.unsent += import.batch.take().len() as u64;
    import.report.stopped = outcome.and_then(|()| import.flush_errors()).err();
    import.report.elapsed = stopwatch.elapsed();
    progress.clear();
    debug_assert!(import.report.is_balanced(), "{:?}", import.report);
    import.report
}

/// An import under way.
struct Import<'a> {
    http: &'a Http,
    options: &'a ImportOptions,
    progress: &'a Progress,
    keys: Keys,
    batch: Batch,
    errors: Option<BufWriter<File>>,
    node_refusals: u64,
    report: ImportReport,
}

impl Import<'_> {
    fn run(&mut self, input: impl Read) -> Result<(), ClientError> {
        if let Some(text) = &self.options.ttl {
            parse_ttl(text).map_err(|source| ClientError::BadTtl { text: text.clone(), source })?;
        }
        if let Some(path) = &self.options.errors {
            let file = File::create(path).map_err(|source| write_error(path, source))?;
            self.errors = Some(BufWriter::new(file));
        }
        let unreadable = |source| ClientError::Read { path: self.options.input.clone(), source };
        let (mut lines, position) = Lines::open(input, LINE_BYTES_MAX).map_err(unreadable)?;
        loop {
            let line = lines.read_line().map_err(unreadable)?;
            self.report.bytes = position.bytes();
            let Some(line) = line else { break };
            self.report.lines += 1;
            self.take_line(&line, &position)?;
        }
        self.send_batch(&position)
    }

    /// Accounts for one line, and sends what was collected when there is no room for it.
    fn take_line(&mut self, line: &Line<'_>, position: &Position) -> Result<(), ClientError> {
        let parsed = match line {
            Line::TooLong => Err(format!("longer than {LINE_BYTES_MAX} bytes")),
            Line::Text(text) => line::parse(text, &self.options.keys, now_ms()),
        };
        match parsed {
            Ok(Parsed::Blank) => self.report.blank += 1,
            Ok(Parsed::Expired) => self.report.expired += 1,
            Ok(Parsed::Put(put)) => return self.take_put(put, position),
            Err(reason) => return self.refuse(Refusal { line: self.report.lines, path: None, reason }),
        }
        Ok(())
    }

    fn take_put(&mut self, mut put: Put<'_>, position: &Position) -> Result<(), ClientError> {
        match self.keys.meet(&put.path) {
            Meeting::First => {}
            Meeting::Unknown if self.options.on_duplicate == OnDuplicate::Overwrite => {
                self.report.duplicates_incomplete = true;
            }
            Meeting::Unknown => return Err(self.too_many_keys()),
            Meeting::Repeated => {
                self.report.duplicate_keys += 1;
                match self.options.on_duplicate {
                    OnDuplicate::Overwrite => {}
                    OnDuplicate::Skip => {
                        self.report.skipped += 1;
                        return Ok(());
                    }
                    OnDuplicate::Number => match self.keys.number(&put.path) {
                        Ok(numbered) => {
                            put.path = numbered;
                            self.report.numbered += 1;
                        }
                        Err(NumberError::MemoryFull) => {
                            self.report.duplicate_keys -= 1;
                            return Err(self.too_many_keys());
                        }
                        Err(NumberError::NoPath(error)) => {
                            let reason = format!("its key with a number would be no path: {error}");
                            let path = Some(put.path.to_string());
                            return self.refuse(Refusal { line: self.report.lines, path, reason });
                        }
                    },
                }
            }
        }
        self.report.escaped_fields += put.escaped_fields;
        self.report.empty_fields += put.empty_fields;
        if let Some(ttl) = &self.options.ttl {
            put.ttl = Ttl::Text(ttl.clone());
        }
        let operation = Operation::put(self.report.lines, put);
        if !self.batch.has_room_for(&operation) {
            // The line is pending either way: it counts as unsent when what is before it cannot be sent.
            let sent = self.send_batch(position);
            self.batch.push(operation);
            return sent;
        }
        self.batch.push(operation);
        Ok(())
    }

    /// Sends what was collected.
    fn send_batch(&mut self, position: &Position) -> Result<(), ClientError> {
        let operations = self.batch.take();
        let pending = operations.len() as u64;
        let mut answered = 0;
        let outcome = match self.options.mode {
            Mode::DryRun => Ok(()),
            Mode::Write => {
                let (http, progress) = (self.http, self.progress);
                let mut pauses = 0;
                let outcome = batch::send(
                    http,
                    &operations,
                    &mut |pause, _| {
                        pauses += 1;
                        progress.show_pause(pause);
                    },
                    &mut |operation, outcome| {
                        answered += 1;
                        self.count(operation, outcome)
                    },
                );
                self.report.pauses += pauses;
                outcome
            }
        };
        self.report.unsent += pending - answered;
        self.progress.show(position.bytes(), format!("{} lines", self.report.lines));
        outcome
    }

    fn count(&mut self, operation: &Operation, outcome: Outcome) -> Result<(), ClientError> {
        match outcome {
            Outcome::Created => self.report.created += 1,
            Outcome::Replaced => self.report.replaced += 1,
            Outcome::Refused(reason) => {
                self.node_refusals += 1;
                let path = Some(operation.path.to_string());
                self.refuse(Refusal { line: operation.line, path, reason })?;
                if self.node_refusals >= NODE_REFUSALS_MAX {
                    return Err(ClientError::TooManyRefusals { refusals_max: NODE_REFUSALS_MAX });
                }
            }
        }
        Ok(())
    }

    fn refuse(&mut self, refusal: Refusal) -> Result<(), ClientError> {
        let written = self.errors.as_mut().map_or(Ok(()), |errors| {
            serde_json::to_writer(&mut *errors, &refusal)?;
            errors.write_all(b"\n")
        });
        self.report.refuse(refusal);
        written.map_err(|source| self.errors_error(source))
    }

    fn flush_errors(&mut self) -> Result<(), ClientError> {
        let flushed = self.errors.as_mut().map_or(Ok(()), Write::flush);
        flushed.map_err(|source| self.errors_error(source))
    }

    fn errors_error(&self, source: std::io::Error) -> ClientError {
        write_error(self.options.errors.as_deref().unwrap_or(&self.options.input), source)
    }

    /// The line that met the bound is not accounted for: it was not looked at.
    fn too_many_keys(&mut self) -> ClientError {
        let line = self.report.lines;
        self.report.lines -= 1;
        ClientError::TooManyKeys { keys_max: KEYS_REMEMBERED_MAX, line }
    }
}

fn write_error(path: &std::path::Path, source: std::io::Error) -> ClientError {
    ClientError::Write { path: path.to_owned(), source }
}
