//! The text of a PID file, version 1.
//!
//! ```text
//! kvs-pid 1
//! pid 4711
//! start 8271301                  clock ticks since boot, see proc(5)
//! since 1767225600000            milliseconds since 1970
//! config /home/ada/node1.yaml    the absolute path
//! address 127.0.0.1:8080         from here on: once it listens
//! node node-alpha
//! ```
//!
//! Lines stand in this order and end in a line feed; what follows the last line feed is still being written and does
//! not count. In `config` and `node`, bytes outside of printable ASCII and `%` are written as `%XX`.
//! Invariant: any beginning of a record reads as nothing, or as that record with or without its last two lines.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use crate::limits::PID_FILE_BYTES_MAX;
use crate::process::Process;

const HEAD: &str = "kvs-pid 1";

/// What a running instance tells about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The process that holds the lock.
    pub(crate) process: Process,
    /// When it started, in milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// Absolute path of its configuration.
    pub(crate) config: PathBuf,
    /// Where it listens and its `node_id`, once it does.
    pub(crate) announcement: Option<Announcement>,
}

/// What is known once an instance listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) address: SocketAddr,
    pub(crate) node_id: String,
}

impl Record {
    /// The lines before the instance listens.
    pub(crate) fn encode(&self) -> String {
        let Self { process, since_ms, config, announcement } = self;
        let head = format!(
            "{HEAD}\npid {}\nstart {}\nsince {since_ms}\nconfig {}\n",
            process.pid,
            process.start,
            escape(config.as_os_str().as_bytes())
        );
        announcement.iter().fold(head, |text, announcement| text + &announcement.encode())
    }

    /// Reads the text of a PID file; `None` when it is not (yet) a record.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > PID_FILE_BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(bytes).ok()?;
        let (whole, _unfinished) = text.rsplit_once('\n')?;
        let mut lines = whole.split('\n');
        if lines.next()? != HEAD {
            return None;
        }
        let pid = field(lines.next(), "pid ")?.parse().ok()?;
        let start = field(lines.next(), "start ")?.parse().ok()?;
        let since_ms = field(lines.next(), "since ")?.parse().ok()?;
        let config = PathBuf::from(OsString::from_vec(unescape(field(lines.next(), "config ")?)?));
        let announcement = match (lines.next(), lines.next()) {
            (None, _) => None,
            (Some(address), node) => {
                let address = field(Some(address), "address ")?.parse().ok()?;
                match node {
                    // The second of the two lines is still being written.
                    None => None,
                    Some(node) => {
                        let node_id = String::from_utf8(unescape(field(Some(node), "node ")?)?).ok()?;
                        Some(Announcement { address, node_id })
                    }
                }
            }
        };
        let record = Self { process: Process { pid, start }, since_ms, config, announcement };
        (lines.next().is_none() && record.config.is_absolute()).then_some(record)
    }
}

impl Announcement {
    /// The lines that are added once the instance listens.
    pub(crate) fn encode(&self) -> String {
        format!("address {}\nnode {}\n", self.address, escape(self.node_id.as_bytes()))
    }
}

fn field<'line>(line: Option<&'line str>, name: &str) -> Option<&'line str> {
    line?.strip_prefix(name)
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'%' => text.push_str("%25"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            b' '..=b'~' => bytes.push(byte),
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn records() -> impl Strategy<Value = Record> {
        let announcement = (any::<SocketAddr>(), any::<String>())
            .prop_map(|(address, node_id)| Announcement { address: plain(address), node_id });
        let path = proptest::collection::vec(any::<u8>(), 0..200).prop_map(|mut bytes| {
            bytes.insert(0, b'/');
            PathBuf::from(OsString::from_vec(bytes))
        });
        (any::<u32>(), any::<u64>(), any::<u64>(), path, proptest::option::of(announcement)).prop_map(
            |(pid, start, since_ms, config, announcement)| Record {
                process: Process { pid, start },
                since_ms,
                config,
                announcement,
            },
        )
    }

    /// Flow labels are no part of the address that one connects to.
    fn plain(address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip(), address.port())
    }

    #[test]
    fn a_record_reads_like_the_documented_text() {
        let text = b"kvs-pid 1\npid 4711\nstart 8271301\nsince 1767225600000\nconfig /home/ada/node1.yaml\n\
                     address 127.0.0.1:8080\nnode node-alpha\n";
        let record = Record {
            process: Process { pid: 4711, start: 8_271_301 },
            since_ms: 1_767_225_600_000,
            config: PathBuf::from("/home/ada/node1.yaml"),
            announcement: Some(Announcement {
                address: "127.0.0.1:8080".parse().unwrap(),
                node_id: "node-alpha".to_owned(),
            }),
        };
        assert_eq!(Record::decode(text), Some(record.clone()));
        assert_eq!(record.encode().as_bytes(), text);
    }

    #[test]
    fn garbage_is_no_record() {
        for text in [
            "",
            "4711\n",
            "kvs-pid 2\npid 1\nstart 1\nsince 1\nconfig /c\n",
            "kvs-pid 1\npid -1\nstart 1\nsince 1\nconfig /c\n",
            "kvs-pid 1\npid 1\nstart 1\nsince 1\nconfig c\n",
            "kvs-pid 1\npid 1\nstart 1\nsince 1\nconfig /%zz\n",
            "kvs-pid 1\npid 1\nstart 1\nsince 1\nconfig /c\naddress nowhere\nnode n\n",
            "kvs-pid 1\npid 1\nstart 1\nsince 1\nconfig /c\naddress 1.1.1.1:1\nnode n\nmore\n",
        ] {
            assert_eq!(Record::decode(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Record::decode(&vec![b'\n'; PID_FILE_BYTES_MAX + 1]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(record in records()) {
            let text = record.encode();
            let read = Record::decode(text.as_bytes());
            if text.len() <= PID_FILE_BYTES_MAX {
                prop_assert_eq!(read, Some(record));
            } else {
                prop_assert_eq!(read, None);
            }
        }

        #[test]
        fn a_beginning_is_nothing_or_the_same_record(record in records(), cut in any::<proptest::sample::Index>()) {
            let text = record.encode();
            let (beginning, _) = text.as_bytes().split_at(cut.index(text.len() + 1));
            if let Some(read) = Record::decode(beginning) {
                let bare = Record { announcement: None, ..record.clone() };
                prop_assert!(read == record || read == bare, "{:?}", read);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), head in any::<bool>()) {
            let mut text = if head { b"kvs-pid 1\npid 1\nstart 2\nsince 3\nconfig /".to_vec() } else { Vec::new() };
            text.extend(bytes);
            if let Some(record) = Record::decode(&text) {
                prop_assert!(record.config.is_absolute());
            }
        }
    }
}
