//! An export: the keys below a prefix as lines of JSON, in the form that an import reads.
//!
//! One line per key, `{"path","data","uuid","timestamp","expires_at"?}`, in byte order of the paths; the value's bytes
//! are the stored ones. The keys are read page by page while writes go on: each line is a value that its key had during
//! the export, not all of one moment. A snapshot of one moment is a backup.
//!
//! **Invariant:** a file is complete or not there: it is written under a temporary name beside its place, synced and
//! renamed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::clock::Stopwatch;
use crate::error::ClientError;
use crate::http::Http;
use crate::list::{Listed, Pages, RangeQuery, Values};
use crate::progress::Progress;

/// What an export wrote.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ExportReport {
    /// Keys, one line each.
    pub keys: u64,
    /// Bytes written, line ends included.
    pub bytes: u64,
    /// How often the node asked to wait.
    pub pauses: u64,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "as_ms")]
    pub elapsed: Duration,
}

/// A line of the export format, in its order of members.
#[derive(Serialize)]
struct ExportLine<'a> {
    path: &'a str,
    data: &'a RawValue,
    uuid: &'a str,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

/// Writes the keys that begin with `prefix` to `output`. `name` is the output's name for messages.
///
/// # Errors
///
/// What the node or the output said; what was written until then is the beginning of an export.
pub fn export_to(
    http: &Http,
    prefix: &str,
    output: &mut dyn Write,
    name: &Path,
    progress: &Progress,
) -> Result<ExportReport, ClientError> {
    let stopwatch = Stopwatch::start();
    let unwritable = |source: std::io::Error| ClientError::Write { path: name.to_owned(), source };
    let query = RangeQuery { prefix: prefix.to_owned(), delimiter: None, values: Values::Included };
    let mut pages = Pages::new(http, query);
    let mut report = ExportReport::default();
    let mut line = Vec::new();
    let outcome = loop {
        let pauses = &mut report.pauses;
        let page = pages.next_page(usize::MAX, &mut |pause| {
            *pauses += 1;
            progress.show_pause(pause);
        });
        let page = match page {
            Ok(Some(page)) => page,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        for listed in &page.keys {
            line.clear();
            write_line(listed, &mut line).map_err(|error| http.foreign(error))?;
            output.write_all(&line).map_err(unwritable)?;
            report.keys += 1;
            report.bytes += line.len() as u64;
        }
        progress.show(report.keys, format!("{} keys, {} bytes", report.keys, report.bytes));
    };
    progress.clear();
    outcome?;
    output.flush().map_err(unwritable)?;
    report.elapsed = stopwatch.elapsed();
    Ok(report)
}

/// Writes the keys that begin with `prefix` to a new file at `path`, mode 0600; an existing file is replaced. What is
/// there and is no file, such as a pipe or `/dev/null`, is written to as it is.
///
/// # Errors
///
/// What the node or the disk said; an existing file of that name is untouched then.
pub fn export_to_file(
    http: &Http,
    prefix: &str,
    path: &Path,
    progress: &Progress,
) -> Result<ExportReport, ClientError> {
    let unwritable = |source: std::io::Error| ClientError::Write { path: path.to_owned(), source };
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        let output = File::options().write(true).open(path).map_err(unwritable)?;
        return export_to(http, prefix, &mut BufWriter::new(output), path, progress);
    }
    let folder = folder_of(path);
    let mut temporary =
        tempfile::Builder::new().prefix(".kvs-export-").tempfile_in(&folder).map_err(unwritable)?;
    let mut output = BufWriter::new(temporary.as_file_mut());
    let report = export_to(http, prefix, &mut output, path, progress)?;
    drop(output);
    temporary.as_file().sync_all().map_err(unwritable)?;
    temporary.persist(path).map_err(|error| unwritable(error.error))?;
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(unwritable)?;
    Ok(report)
}

/// The folder that a file lies in; the current one when its name has none.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn write_line(listed: &Listed, line: &mut Vec<u8>) -> Result<(), String> {
    let data = listed.data.as_deref().ok_or_else(|| format!("{:?} came without its value", listed.path))?;
    let start = line.len();
    let Listed { path, uuid, timestamp, expires_at, .. } = listed;
    let exported = ExportLine { path, data, uuid, timestamp: *timestamp, expires_at: *expires_at };
    serde_json::to_writer(&mut *line, &exported).map_err(|error| error.to_string())?;
    // A value may hold line breaks between its parts; there they mean nothing, and a line must be one.
    for byte in line.iter_mut().skip(start) {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    Ok(())
}

fn as_ms<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{folder_of, write_line};
    use crate::list::Listed;
    use std::path::{Path, PathBuf};

    fn line(listed: &str) -> String {
        let listed: Listed = serde_json::from_str(listed).expect("a listed key");
        let mut line = Vec::new();
        write_line(&listed, &mut line).expect("a line");
        String::from_utf8(line).expect("UTF-8")
    }

    #[test]
    fn a_line_holds_the_stored_bytes_in_a_fixed_order_of_members() {
        let listed = r#"{"uuid":"u","timestamp":5,"expires_at":9,"path":"a/ü","data":{ "x":1.0}}"#;
        assert_eq!(
            line(listed),
            "{\"path\":\"a/ü\",\"data\":{ \"x\":1.0},\"uuid\":\"u\",\"timestamp\":5,\"expires_at\":9}\n"
        );
    }

    #[test]
    fn line_breaks_between_the_parts_of_a_value_become_spaces() {
        let listed = "{\"path\":\"a\",\"uuid\":\"u\",\"timestamp\":5,\"data\":[1,\r\n\"x\\n\"]}";
        assert_eq!(line(listed), "{\"path\":\"a\",\"data\":[1,  \"x\\n\"],\"uuid\":\"u\",\"timestamp\":5}\n");
    }

    #[test]
    fn a_name_without_a_folder_lies_in_the_current_one() {
        assert_eq!(folder_of(Path::new("x.jsonl")), PathBuf::from("."));
        assert_eq!(folder_of(Path::new("/x.jsonl")), PathBuf::from("/"));
    }
}
