//! Reading certificates and private keys in PEM (RFC 7468).
//!
//! Invariant: a private key is taken only from a regular file that belongs to this user (or to root) and that neither its
//! group nor others can read. Links are followed: those who renew certificates change links.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::CertsError;
use crate::limits::{CERTIFICATES_MAX, PEM_FILE_BYTES_MAX};

const OPEN_TO_OTHERS: u32 = 0o077;
const ROOT: u32 = 0;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readers {
    /// Anybody.
    Anyone,
    /// Its owner alone, who is this user or root.
    OwnerAlone,
}

/// The certificates of a file in their order, at least one and at most [`CERTIFICATES_MAX`].
///
/// # Errors
///
/// [`CertsError::Io`] when it cannot be read, [`CertsError::Refused`] when it holds none, too many, or no PEM.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertsError> {
    let bytes = read(path, Readers::Anyone)?;
    let parsed: Result<Vec<_>, pem::Error> =
        CertificateDer::pem_slice_iter(&bytes).take(CERTIFICATES_MAX + 1).collect();
    let certificates =
        parsed.map_err(|error| CertsError::refused(path, format!("this is no PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(CertsError::refused(path, "there is no certificate in PEM in it"));
    }
    if certificates.len() > CERTIFICATES_MAX {
        return Err(CertsError::refused(
            path,
            format!("there are more than {CERTIFICATES_MAX} certificates in it"),
        ));
    }
    Ok(certificates)
}

/// The private key of a file: the first one in PKCS#8, PKCS#1 or SEC1.
///
/// # Errors
///
/// [`CertsError::Io`] when it cannot be read; [`CertsError::Refused`] when others can read it too, or when it holds no key
/// (an encrypted one counts as none).
pub fn read_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertsError> {
    let bytes = read(path, Readers::OwnerAlone)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => CertsError::refused(
            path,
            "there is no private key in PEM in it (an encrypted one cannot be used)",
        ),
        error => CertsError::refused(path, format!("this is no PEM: {error}")),
    })
}

fn read(path: &Path, readers: Readers) -> Result<Vec<u8>, CertsError> {
    // Not blocking, so that opening a pipe returns; it is refused below.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|error| CertsError::io("open", path, error))?;
    let stat = rustix::fs::fstat(&fd).map_err(|error| CertsError::io("inspect", path, error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(CertsError::refused(path, "expected a regular file"));
    }
    if readers == Readers::OwnerAlone {
        if stat.st_uid != rustix::process::geteuid().as_raw() && stat.st_uid != ROOT {
            return Err(CertsError::refused(path, "it belongs to another user"));
        }
        if stat.st_mode & OPEN_TO_OTHERS != 0 {
            let reason = "group or others can read it; run chmod 600 on it, and change the key if they did";
            return Err(CertsError::refused(path, reason));
        }
    }
    let mut bytes = Vec::new();
    File::from(fd)
        .take(PEM_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CertsError::io("read", path, error))?;
    if bytes.len() as u64 > PEM_FILE_BYTES_MAX {
        return Err(CertsError::refused(path, format!("it is longer than {PEM_FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;

    use super::{read_certificates, read_private_key};

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    fn key() -> String {
        rcgen::KeyPair::generate().unwrap().serialize_pem()
    }

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn a_key_is_taken_from_its_owner_alone() {
        let files = Files::new();
        for mode in [0o600, 0o400] {
            read_private_key(&files.write(&format!("{mode:o}"), &key(), mode)).unwrap();
        }
        for mode in [0o640, 0o604, 0o644, 0o666, 0o602] {
            let refused = read_private_key(&files.write(&format!("{mode:o}"), &key(), mode)).unwrap_err();
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
    }

    #[test]
    fn a_link_to_a_key_is_followed_and_its_target_is_judged() {
        let files = Files::new();
        let link = files.0.path().join("link");
        symlink(files.write("closed", &key(), 0o600), &link).unwrap();
        read_private_key(&link).unwrap();
        std::fs::remove_file(&link).unwrap();
        symlink(files.write("open", &key(), 0o644), &link).unwrap();
        assert!(read_private_key(&link).is_err());
    }

    #[test]
    fn what_is_no_key_or_no_certificate_is_told_with_its_file() {
        let files = Files::new();
        let empty = files.write("empty", "", 0o600);
        let damaged =
            files.write("damaged", "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n", 0o600);
        let encrypted = files.write(
            "sealed",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            0o600,
        );
        let large = files.write("large", &"x".repeat(1024 * 1024 + 1), 0o600);
        for path in [&empty, &damaged, &large, &PathBuf::from("/nonexistent/x"), &PathBuf::from("/dev/null")]
        {
            let told = read_certificates(path).unwrap_err().to_string();
            assert!(told.contains(path.to_str().unwrap()), "{told}");
        }
        for path in [&empty, &encrypted, &large] {
            let told = read_private_key(path).unwrap_err().to_string();
            assert!(told.contains(path.to_str().unwrap()), "{told}");
        }
    }

    #[test]
    fn certificates_keep_their_order_and_keys_between_them_are_passed_over() {
        let files = Files::new();
        let (first, second) = (certificate(), certificate());
        let both = files.write("both", &format!("text\n{first}{}{second}", key()), 0o644);
        let read = read_certificates(&both).unwrap();
        let alone =
            |text: &str, name: &str| read_certificates(&files.write(name, text, 0o644)).unwrap().remove(0);
        assert_eq!(read, [alone(&first, "1"), alone(&second, "2")]);
    }
}
