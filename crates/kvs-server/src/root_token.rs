//! `DATA_DIR/root.token`: the token of the built-in administrator, for whoever may read the data directory.
//!
//! A node makes it at its start and keeps it good while it runs: one that is missing, expired, revoked or near its end is
//! replaced, whole or not at all, with mode 0600. It is never logged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use kvs_auth::limits::TOKEN_BYTES_MAX;
use kvs_auth::scopes::{Scope, Scopes};
use kvs_auth::subject::Subject;
use kvs_auth::token::claims::Claims;
use kvs_auth::token::keys::TokenKeys;
use kvs_auth::token::mint::mint;
use uuid::Uuid;

use crate::random::random_bytes;

/// How long the token lives, in seconds: thirty days.
pub const ROOT_TOKEN_LIFETIME_S: u64 = 30 * 24 * 60 * 60;

/// A token with less than this left is replaced, in seconds: a third of its life.
const REPLACED_BELOW_S: u64 = ROOT_TOKEN_LIFETIME_S / 3;

const FILE: &str = "root.token";
const FILE_MODE: u32 = 0o600;
const OPEN_TO_OTHERS: u32 = 0o077;

/// Where the token of a data directory is.
#[must_use]
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// The token of a data directory, if there is one that only its owner can read.
///
/// # Errors
///
/// The file is there and cannot be read.
pub fn read(data_dir: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path(data_dir)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let stat = file.metadata()?;
    if !stat.is_file() || stat.mode() & OPEN_TO_OTHERS != 0 {
        return Ok(None);
    }
    let mut text = String::new();
    file.take(TOKEN_BYTES_MAX as u64 + 2).read_to_string(&mut text)?;
    Ok(Some(text.trim_end().to_owned()).filter(|token| !token.is_empty() && token.len() <= TOKEN_BYTES_MAX))
}

/// Whether a token that is good until `expires_at_s` is to be kept at `now_s`.
#[must_use]
pub const fn is_fresh(expires_at_s: u64, now_s: u64) -> bool {
    expires_at_s.saturating_sub(now_s) >= REPLACED_BELOW_S
}

/// Mints a token of root at `now_s`; `floor_s` is the moment up to which its tokens were revoked.
///
/// # Errors
///
/// There is no randomness.
pub fn mint_root(keys: &TokenKeys, now_s: u64, floor_s: Option<u64>) -> io::Result<String> {
    let random: [u8; 16] = random_bytes().map_err(io::Error::other)?;
    let issued_at_s = floor_s.map_or(now_s, |floor| now_s.max(floor.saturating_add(1)));
    let claims = Claims {
        subject: Subject::Root,
        jti: uuid::Builder::from_random_bytes(random).into_uuid(),
        issued_at_s,
        expires_at_s: issued_at_s.saturating_add(ROOT_TOKEN_LIFETIME_S),
        scopes: Scopes::NONE.with(Scope::Admin),
        paths: None,
    };
    mint(&claims, keys).map_err(io::Error::other)
}

/// Puts a token into a data directory, whole, and to the disk. Whatever was there under its name is replaced.
///
/// # Errors
///
/// It cannot be written; what was there is still there.
pub fn write(data_dir: &Path, token: &str) -> io::Result<()> {
    let random: [u8; 16] = random_bytes().map_err(io::Error::other)?;
    let beside = data_dir.join(format!("{FILE}.{}", Uuid::from_bytes(random).simple()));
    let written = write_new(&beside, token).and_then(|()| fs::rename(&beside, path(data_dir)));
    if written.is_err() {
        // What could not be made need not be removed.
        drop(fs::remove_file(&beside));
    }
    written?;
    File::open(data_dir)?.sync_all()
}

fn write_new(file: &Path, token: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(file)?;
    file.write_all(format!("{token}\n").as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{ROOT_TOKEN_LIFETIME_S, is_fresh, mint_root, path, read, write};
    use kvs_auth::subject::Subject;
    use kvs_auth::token::keys::TokenKeys;
    use kvs_auth::token::verify::verify;
    use kvs_core::cluster_keys::ClusterKeys;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_written_is_read_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        write(dir.path(), "first").unwrap();
        write(dir.path(), "second").unwrap();
        assert_eq!(read(dir.path()).unwrap().as_deref(), Some("second"));
        let mode = std::fs::metadata(path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        // A token that others could read is not used.
        set_permissions(path(dir.path()), Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
    }

    #[test]
    fn a_token_is_issued_after_everything_that_was_revoked() {
        let keys = TokenKeys::new(&ClusterKeys::derive(b"a secret"), None);
        let claims = |floor| verify(&mint_root(&keys, 1000, floor).unwrap(), &keys, 1000, 60).unwrap();
        assert_eq!(claims(None).issued_at_s, 1000);
        assert_eq!(claims(Some(5)).issued_at_s, 1000);
        assert_eq!(claims(Some(1000)).issued_at_s, 1001);
        assert_eq!(claims(None).subject, Subject::Root);
        assert_ne!(claims(None).jti, claims(None).jti);
    }

    #[test]
    fn it_is_replaced_in_time() {
        assert!(is_fresh(ROOT_TOKEN_LIFETIME_S, 0));
        assert!(!is_fresh(ROOT_TOKEN_LIFETIME_S, ROOT_TOKEN_LIFETIME_S * 2 / 3 + 1));
        assert!(!is_fresh(5, 10));
    }
}
