//! Until when a certificate is valid.

use rustls_pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

/// The last moment at which it is valid, in milliseconds since 1970; `None` when it is no certificate that can be read,
/// or ended before 1970.
#[must_use]
pub fn valid_until_ms(certificate: &CertificateDer<'_>) -> Option<u64> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    u64::try_from(parsed.validity().not_after.timestamp()).ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::valid_until_ms;

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let mut params = rcgen::CertificateParams::new(["a".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 1, 2);
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        assert_eq!(valid_until_ms(made.der()), Some(1_893_542_400_000));
        assert_eq!(valid_until_ms(&b"?".as_slice().into()), None);
    }
}
