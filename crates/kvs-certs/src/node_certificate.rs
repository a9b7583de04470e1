//! The certificate of a node: shown to clients and, where the node is the client, to its peers.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
};

use crate::authority::{Authority, valid_for};
use crate::error::CertsError;
use crate::host::Host;
use crate::limits::{HOSTS_MAX, NODE_NAME_BYTES_MAX};
use crate::writing::{Content, Existing, write};

/// What to do with files of this node that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// They stay, and nothing is made.
    Keep,
    /// New ones take their place.
    Replace,
}

/// What a certificate is to say.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Name of the node and of its files: letters, digits, `.`, `-` and `_`.
    pub node: &'a str,
    /// The names and addresses that it is reached under, besides `localhost`, `127.0.0.1` and `::1`.
    pub hosts: Vec<Host>,
    /// How long it is valid, in days.
    pub days: u64,
    /// What to do with earlier files.
    pub earlier: Earlier,
}

/// A certificate that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCertificate {
    /// The certificate, and behind it the authority's.
    pub certificate_path: PathBuf,
    /// Its key.
    pub key_path: PathBuf,
    /// All names and addresses in it.
    pub hosts: Vec<Host>,
    /// Until when it is valid, in milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// Checks a name that is to be the name of files.
///
/// # Errors
///
/// [`CertsError::BadName`].
pub fn check_node_name(name: &str) -> Result<(), CertsError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_good = (1..=NODE_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with(['.', '-'])
        && name != "ca";
    if is_good {
        return Ok(());
    }
    let expected = "name of a node's files: up to 64 letters, digits, '.', '-' and '_', and not 'ca'";
    Err(CertsError::BadName { text: name.to_owned(), expected })
}

impl NodeCertificate {
    /// Makes key and certificate of a node into `folder`.
    ///
    /// # Errors
    ///
    /// [`CertsError`]; earlier files are as they were, except that after a failed write of the certificate the key may
    /// be the new one already.
    pub fn make(
        folder: &Path,
        authority: &Authority,
        wanted: &Wanted<'_>,
        now_ms: u64,
    ) -> Result<Self, CertsError> {
        check_node_name(wanted.node)?;
        let certificate_path = folder.join(format!("{}.pem", wanted.node));
        let key_path = folder.join(format!("{}.key", wanted.node));
        let existing = match wanted.earlier {
            Earlier::Replace => Existing::Replace,
            Earlier::Keep => Existing::Keep,
        };
        if existing == Existing::Keep {
            for path in [&key_path, &certificate_path] {
                if path.try_exists().map_err(|error| CertsError::io("look for", path, error))? {
                    return Err(CertsError::Exists { path: path.clone() });
                }
            }
        }
        let hosts = hosts(&wanted.hosts)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, wanted.node);
        params.subject_alt_names = hosts.iter().map(alternative).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let expires_at_ms = valid_for(&mut params, now_ms, wanted.days)?;
        let key = KeyPair::generate().map_err(|error| CertsError::make(&error))?;
        let certificate =
            params.signed_by(&key, &authority.issuer).map_err(|error| CertsError::make(&error))?;
        // The key first: a certificate without its key is of no use to anybody.
        write(&key_path, &key.serialize_pem(), Content::Key, existing)?;
        let chain = format!("{}{}", certificate.pem(), authority.certificate_pem);
        write(&certificate_path, &chain, Content::Certificates, existing)?;
        Ok(Self { certificate_path, key_path, hosts, expires_at_ms })
    }
}

/// What every certificate is for, and then what was asked for, each once.
fn hosts(wanted: &[Host]) -> Result<Vec<Host>, CertsError> {
    let always = [
        Host::Name("localhost".to_owned()),
        Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Host::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    let mut seen = BTreeSet::new();
    let hosts: Vec<Host> =
        always.iter().chain(wanted).filter(|host| seen.insert((*host).clone())).cloned().collect();
    if hosts.len() > HOSTS_MAX {
        return Err(CertsError::Make(format!("it may have at most {HOSTS_MAX} names and addresses")));
    }
    Ok(hosts)
}

fn alternative(host: &Host) -> Result<SanType, CertsError> {
    Ok(match host {
        Host::Ip(ip) => SanType::IpAddress(*ip),
        Host::Name(name) => {
            SanType::DnsName(name.as_str().try_into().map_err(|error| CertsError::make(&error))?)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Earlier, NodeCertificate, Wanted, check_node_name};
    use crate::authority::Authority;
    use crate::error::CertsError;
    use crate::pem_file::{read_certificates, read_private_key};
    use crate::validity::valid_until_ms;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn wanted(earlier: Earlier) -> Wanted<'static> {
        let hosts = ["10.0.0.7", "db.example", "localhost"].map(|host| host.parse().unwrap()).to_vec();
        Wanted { node: "n1", hosts, days: 30, earlier }
    }

    #[test]
    fn a_node_gets_a_chain_and_a_closed_key_that_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_make(folder.path(), NOW_MS).unwrap();
        let made = NodeCertificate::make(folder.path(), &authority, &wanted(Earlier::Keep), NOW_MS).unwrap();
        let chain = read_certificates(&made.certificate_path).unwrap();
        read_private_key(&made.key_path).unwrap();
        assert_eq!(chain.len(), 2);
        assert_eq!(valid_until_ms(&chain[0]), Some(made.expires_at_ms));
        let shown: Vec<String> = made.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["localhost", "127.0.0.1", "::1", "10.0.0.7", "db.example"]);
        assert_eq!(std::fs::metadata(&made.key_path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_is_replaced_only_when_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_make(folder.path(), NOW_MS).unwrap();
        let make = |earlier| NodeCertificate::make(folder.path(), &authority, &wanted(earlier), NOW_MS);
        let made = make(Earlier::Keep).unwrap();
        let key = std::fs::read(&made.key_path).unwrap();
        assert!(matches!(make(Earlier::Keep), Err(CertsError::Exists { .. })));
        assert_eq!(std::fs::read(&made.key_path).unwrap(), key);
        make(Earlier::Replace).unwrap();
        assert_ne!(std::fs::read(&made.key_path).unwrap(), key);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in ["", "ca", "../x", "a/b", ".hidden", "-x", "a b", &"x".repeat(65)] {
            assert!(check_node_name(name).is_err(), "{name:?}");
        }
        check_node_name("node-1.example_2").unwrap();
    }
}
