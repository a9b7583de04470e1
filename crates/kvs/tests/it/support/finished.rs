//! A command that ran to its end: exit code and output.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::wait::{SOON, within};

/// What a command left.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Finished {
    /// Runs `command` with `input` on its standard input; fails the test when it does not end in time.
    pub(crate) fn of(mut command: Command, input: &[u8]) -> Self {
        // Files instead of pipes: nobody has to read while the command runs, and a daemon that inherits them by
        // mistake does not keep us waiting.
        let mut stdin = file_with(input);
        stdin.rewind().unwrap();
        let (stdout, stderr) = (file_with(b""), file_with(b""));
        command.stdin(Stdio::from(stdin));
        command.stdout(Stdio::from(stdout.try_clone().unwrap()));
        command.stderr(Stdio::from(stderr.try_clone().unwrap()));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let status = within(SOON * 2, || child.try_wait().unwrap());
        if status.is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let finished = Self {
            code: status.and_then(|status| status.code()),
            stdout: text(stdout),
            stderr: text(stderr),
        };
        assert!(status.is_some(), "{command:?} did not end: {finished:?}");
        finished
    }

    /// The same, after checking that the exit code is `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {:?}, stderr {:?}", self.stdout, self.stderr))
    }

    /// Standard output as JSON values, one a line.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        self.stdout.lines().map(read).collect()
    }

    /// Both outputs, for messages that may stand in either.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

fn file_with(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn text(mut file: File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
