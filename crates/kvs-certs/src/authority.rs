//! A small authority: `ca.pem` and `ca.key` in one folder, whose certificates the nodes of one cluster show each other.
//!
//! Invariant: an authority that is there is never replaced, since every certificate that it made would be worthless.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike as _, Days, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::error::CertsError;
use crate::limits::{AUTHORITY_DAYS, DAYS_BEFORE};
use crate::pem_file::{read_certificates, read_private_key};
use crate::writing::{Content, Existing, make_folder, write};

const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";
/// Behind it stands the beginning of the public key: two authorities are never taken for one another.
const NAME: &str = "KVS authority";
/// So many bytes of it.
const NAME_KEY_BYTES: usize = 6;

/// Whether an authority was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was made now.
    Made,
    /// It was there before.
    Found,
}

/// An authority that can sign.
#[derive(Debug)]
pub struct Authority {
    /// Where its certificate is.
    pub certificate_path: PathBuf,
    /// Where its key is.
    pub key_path: PathBuf,
    /// Whether it was there.
    pub origin: Origin,
    pub(crate) certificate_pem: String,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the authority in `folder`, or makes one that is valid for ten years from `now_ms` (milliseconds since 1970).
    /// The folder is made when it is not there.
    ///
    /// # Errors
    ///
    /// [`CertsError`]; an authority that is there is as it was, and a new one is there whole or its key alone.
    pub fn open_or_make(folder: &Path, now_ms: u64) -> Result<Self, CertsError> {
        let (certificate_path, key_path) = (folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE));
        match (is_there(&certificate_path)?, is_there(&key_path)?) {
            (true, true) => Self::open(certificate_path, key_path),
            (false, false) => {
                make_folder(folder)?;
                Self::make(certificate_path, key_path, now_ms)
            }
            (true, false) => Err(CertsError::refused(
                &key_path,
                format!(
                    "it is not here, but {CERTIFICATE_FILE} is; make certificates where the authority's key is"
                ),
            )),
            (false, true) => Err(CertsError::refused(
                &certificate_path,
                format!(
                    "it is not here, but {KEY_FILE} is; bring it back, or remove {KEY_FILE} for a new authority"
                ),
            )),
        }
    }

    fn open(certificate_path: PathBuf, key_path: PathBuf) -> Result<Self, CertsError> {
        let unusable = |path: &Path, error: &rcgen::Error| {
            CertsError::refused(path, format!("it cannot be used: {error}"))
        };
        let certificate = read_certificates(&certificate_path)?.swap_remove(0);
        let key =
            KeyPair::try_from(&read_private_key(&key_path)?).map_err(|error| unusable(&key_path, &error))?;
        check_authority(&certificate_path, &certificate, &key)?;
        let certificate_pem = std::fs::read_to_string(&certificate_path)
            .map_err(|error| CertsError::io("read", &certificate_path, error))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| unusable(&certificate_path, &error))?;
        Ok(Self { certificate_path, key_path, origin: Origin::Found, certificate_pem, issuer })
    }

    fn make(certificate_path: PathBuf, key_path: PathBuf, now_ms: u64) -> Result<Self, CertsError> {
        let key = KeyPair::generate().map_err(|error| CertsError::make(&error))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // The first byte of a point only says that it is not compressed.
        let beginning = rcgen::PublicKeyData::der_bytes(&key).iter().skip(1).take(NAME_KEY_BYTES);
        let beginning: String = beginning.map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, format!("{NAME} {beginning}"));
        // Nodes and nothing below them.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_for(&mut params, now_ms, AUTHORITY_DAYS)?;
        let certificate_pem = params.self_signed(&key).map_err(|error| CertsError::make(&error))?.pem();
        write(&key_path, &key.serialize_pem(), Content::Key, Existing::Keep)?;
        write(&certificate_path, &certificate_pem, Content::Certificates, Existing::Keep)?;
        let issuer = Issuer::new(params, key);
        Ok(Self { certificate_path, key_path, origin: Origin::Made, certificate_pem, issuer })
    }
}

/// Refuses what would make certificates that nobody takes.
fn check_authority(
    path: &Path,
    certificate: &rustls_pki_types::CertificateDer<'_>,
    key: &KeyPair,
) -> Result<(), CertsError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| CertsError::refused(path, format!("it cannot be read: {error}")))?;
    if !parsed.is_ca() {
        return Err(CertsError::refused(path, "this is no certificate of an authority"));
    }
    if parsed.public_key().subject_public_key.data != rcgen::PublicKeyData::der_bytes(key) {
        return Err(CertsError::refused(path, format!("{KEY_FILE} is not the key of this certificate")));
    }
    Ok(())
}

fn is_there(path: &Path) -> Result<bool, CertsError> {
    path.try_exists().map_err(|error| CertsError::io("look for", path, error))
}

/// Makes a certificate valid from the day before `now_ms` for `days` from today; its end, in milliseconds since 1970.
pub(crate) fn valid_for(params: &mut CertificateParams, now_ms: u64, days: u64) -> Result<u64, CertsError> {
    let none = || CertsError::Make(format!("{days} days from now are no date"));
    let now = i64::try_from(now_ms).ok().and_then(DateTime::from_timestamp_millis).ok_or_else(none)?;
    let start = now.checked_sub_days(Days::new(DAYS_BEFORE)).ok_or_else(none)?;
    let end = now.checked_add_days(Days::new(days)).ok_or_else(none)?;
    let midnight = |at: DateTime<Utc>| {
        let (month, day) = (u8::try_from(at.month()), u8::try_from(at.day()));
        match (month, day) {
            (Ok(month), Ok(day)) => Ok(rcgen::date_time_ymd(at.year(), month, day)),
            _ => Err(none()),
        }
    };
    params.not_before = midnight(start)?;
    params.not_after = midnight(end)?;
    let end = end.date_naive().and_hms_opt(0, 0, 0).ok_or_else(none)?.and_utc();
    u64::try_from(end.timestamp_millis()).map_err(|_| none())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Authority, Origin};

    const NOW_MS: u64 = 1_800_000_000_000;

    #[test]
    fn an_authority_is_made_once_and_found_afterwards() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        let made = Authority::open_or_make(&folder, NOW_MS).unwrap();
        assert_eq!(made.origin, Origin::Made);
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&folder), mode(&made.key_path), mode(&made.certificate_path)),
            (0o700, 0o600, 0o644)
        );
        let key = std::fs::read(&made.key_path).unwrap();
        let found = Authority::open_or_make(&folder, NOW_MS).unwrap();
        assert_eq!((found.origin, found.certificate_pem), (Origin::Found, made.certificate_pem));
        assert_eq!(std::fs::read(&made.key_path).unwrap(), key);
    }

    #[test]
    fn half_an_authority_is_not_completed() {
        for missing in ["ca.pem", "ca.key"] {
            let folder = tempfile::tempdir().unwrap();
            Authority::open_or_make(folder.path(), NOW_MS).unwrap();
            std::fs::remove_file(folder.path().join(missing)).unwrap();
            assert!(
                Authority::open_or_make(folder.path(), NOW_MS).unwrap_err().to_string().contains(missing)
            );
        }
    }

    #[test]
    fn a_key_of_another_authority_is_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let of = |folder: &tempfile::TempDir| Authority::open_or_make(folder.path(), NOW_MS).unwrap();
        let (one_made, other_made) = (of(&one), of(&other));
        std::fs::copy(&other_made.key_path, &one_made.key_path).unwrap();
        assert!(Authority::open_or_make(one.path(), NOW_MS).is_err());
    }

    #[test]
    fn a_certificate_of_a_node_is_no_authority() {
        let folder = tempfile::tempdir().unwrap();
        let made = Authority::open_or_make(folder.path(), NOW_MS).unwrap();
        let simple = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        std::fs::write(&made.certificate_path, simple.cert.pem()).unwrap();
        std::fs::write(&made.key_path, simple.signing_key.serialize_pem()).unwrap();
        let refused = Authority::open_or_make(folder.path(), NOW_MS).unwrap_err().to_string();
        assert!(refused.contains("no certificate of an authority"), "{refused}");
    }
}
