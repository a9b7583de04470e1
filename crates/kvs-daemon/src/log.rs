//! The log file of an instance: opened for the daemon to append to, and its last lines for an error.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use rustix::fs::OFlags;

use crate::error::DaemonError;
use crate::folder::Folder;
use crate::limits::{TAIL_BYTES_MAX, TAIL_LINES_MAX};

/// Longest line of a tail, in characters.
const LINE_CHARS_MAX: usize = 500;

/// A log file that is being appended to.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    /// Where this start began to write.
    begin: u64,
}

impl Log {
    /// Opens or makes the log `name`, mode 0600, without following links.
    pub(crate) fn open(folder: &Folder, name: &str) -> Result<Self, DaemonError> {
        let path = folder.path_of(name);
        // Readable too, for the tail; all writing goes to the end.
        let file = folder
            .file(name, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE)?
            .ok_or_else(|| DaemonError::io("open", &path, std::io::ErrorKind::NotFound))?;
        let begin = file.metadata().map_err(|error| DaemonError::io("inspect", &path, error))?.len();
        Ok(Self { file, begin })
    }

    /// One more descriptor of the file, for a child process.
    pub(crate) fn for_child(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }

    /// The last lines that were written since this was opened: at most [`TAIL_LINES_MAX`], from at most
    /// [`TAIL_BYTES_MAX`] bytes, with control characters escaped.
    pub(crate) fn tail(&mut self) -> std::io::Result<Vec<String>> {
        let end = self.file.metadata()?.len();
        let begin = self.begin.max(end.saturating_sub(TAIL_BYTES_MAX));
        self.file.seek(SeekFrom::Start(begin))?;
        let mut bytes = Vec::new();
        (&self.file).take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines: Vec<String> = text.lines().rev().take(TAIL_LINES_MAX).map(printable).collect();
        lines.reverse();
        Ok(lines)
    }
}

fn printable(line: &str) -> String {
    let mut text = String::new();
    for c in line.chars().take(LINE_CHARS_MAX) {
        if c.is_control() && c != '\t' {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::folder::Absent;

    #[test]
    fn the_tail_is_what_this_start_wrote_last() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path(), ["a", "b"], Absent::Make).unwrap().unwrap();
        std::fs::write(home.path().join("a/b/l"), "of an earlier start\n").unwrap();
        let mut log = Log::open(&folder, "l").unwrap();
        assert_eq!(log.tail().unwrap(), Vec::<String>::new());
        let mut child = log.for_child().unwrap();
        child.write_all(b"red \x1b[31m\xff\nsecond").unwrap();
        assert_eq!(log.tail().unwrap(), ["red \\u{1b}[31m\u{fffd}", "second"]);
        for number in 0..10_000 {
            writeln!(child, "{number}").unwrap();
        }
        let tail = log.tail().unwrap();
        assert_eq!(
            (tail.len(), tail.first().unwrap().as_str(), tail.last().unwrap().as_str()),
            (20, "9980", "9999")
        );
        let whole = std::fs::read(home.path().join("a/b/l")).unwrap();
        assert!(whole.starts_with(b"of an earlier start\nred"));
    }

    #[test]
    fn a_log_that_is_a_link_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path(), ["a", "b"], Absent::Make).unwrap().unwrap();
        std::os::unix::fs::symlink("/dev/null", home.path().join("a/b/l")).unwrap();
        assert!(matches!(Log::open(&folder, "l"), Err(DaemonError::Refused { .. })));
    }
}
