//! The key that a node signs its checkpoints with: Ed25519, made once, never leaving the folder of the trail.
//!
//! Whoever can read it can sign what the node did not say; that is why other nodes keep what it has said.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey};

use crate::error::AuditError;
use crate::files::{read_bounded, write_whole};
use crate::hash::{bytes_from_hex, hex};
use crate::public_key::PublicKey;

const FILE_BYTES: u64 = 65;

/// The key. Its parts are wiped from memory when it is dropped, and it prints nothing of itself.
pub(crate) struct NodeKey(SigningKey);

impl NodeKey {
    /// The key that these random bytes are.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads the key, or makes it of `seed` when there is none.
    ///
    /// # Errors
    ///
    /// The file cannot be read or made, can be read by others, or holds no key.
    pub(crate) fn read_or_make(path: &Path, seed: &[u8; 32]) -> Result<Self, AuditError> {
        let unusable = |reason| AuditError::File { path: path.to_owned(), reason };
        let failed = |source| AuditError::Read { path: path.to_owned(), source };
        let Ok(about) = fs::symlink_metadata(path) else {
            write_whole(path, format!("{}\n", hex(seed)).as_bytes())?;
            return Ok(Self::from_seed(seed));
        };
        if !about.is_file() {
            return Err(unusable("it is no regular file"));
        }
        if about.permissions().mode() & 0o077 != 0 {
            return Err(unusable("others can read it; make it mode 0600"));
        }
        let bytes =
            read_bounded(path, FILE_BYTES)?.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
        let seed = bytes.strip_suffix(b"\n").and_then(bytes_from_hex).ok_or(unusable("it holds no key"))?;
        Ok(Self::from_seed(&seed))
    }

    /// The part of the key that everybody may know.
    pub(crate) fn public(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("NodeKey")
    }
}

#[cfg(test)]
mod tests {
    use super::NodeKey;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("node.key");
        let made = NodeKey::read_or_make(&path, &[7; 32]).expect("made");
        let read = NodeKey::read_or_make(&path, &[8; 32]).expect("read");
        assert_eq!(made.public(), read.public());
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(format!("{made:?}"), "NodeKey");
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("node.key");
        NodeKey::read_or_make(&path, &[7; 32]).expect("made");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("set");
        assert!(NodeKey::read_or_make(&path, &[7; 32]).is_err());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("set");
        fs::write(&path, "short\n").expect("written");
        assert!(NodeKey::read_or_make(&path, &[7; 32]).is_err());
        let link = dir.path().join("link.key");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert!(NodeKey::read_or_make(&link, &[7; 32]).is_err());
    }
}
