//! The files that `tls_cert`, `tls_key` and `tls_client_ca` name, and whether they changed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use kvs_config::config::Config;

/// Where they are; all paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The node's certificate, and those that vouch for it.
    pub(crate) certificate: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// Who vouches for peers.
    pub(crate) client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// Those of a configuration; `None` when it does not turn TLS on.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        // The configuration has both or none.
        let (certificate, key) = config.tls_cert.clone().zip(config.tls_key.clone())?;
        Some(Self { certificate, key, client_ca: config.tls_client_ca.clone() })
    }

    /// How they are now. Blocks for as long as the disk takes.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp([Some(&*self.certificate), Some(&*self.key), self.client_ca.as_deref()].map(|path| mark(path?)))
    }
}

/// What tells one state of the files from another without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp([Option<Mark>; 3]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
}

/// `None` for a file that is not there. Links are followed, so a link to another file is a change too.
fn mark(path: &Path) -> Option<Mark> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Mark {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified_ns: (metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::TlsFiles;

    #[test]
    fn every_way_to_change_a_file_changes_the_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["cert", "key", "other"] {
            std::fs::write(path(name), "1").unwrap();
        }
        symlink(path("cert"), path("ca")).unwrap();
        let files = TlsFiles { certificate: path("cert"), key: path("key"), client_ca: Some(path("ca")) };
        let mut before = files.stamp();
        assert_eq!(files.stamp(), before);
        let mut changed = |what: &str| {
            let now = files.stamp();
            assert_ne!(now, before, "{what}");
            before = now;
        };
        std::fs::write(path("cert"), "22").unwrap();
        changed("other content");
        std::fs::rename(path("other"), path("key")).unwrap();
        changed("another file in its place");
        std::fs::remove_file(path("ca")).unwrap();
        symlink(path("key"), path("ca")).unwrap();
        changed("a link that leads elsewhere");
        std::fs::remove_file(path("cert")).unwrap();
        changed("a file that is gone");
    }
}
