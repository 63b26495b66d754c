//! Who a certificate says its holder is. The chain was verified in the handshake.

use rustls_pki_types::CertificateDer;
use sss_common::login::ServerKey;
use sss_common::name::NameError;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use crate::routes::Machine;
use crate::service::Serves;
use crate::store::Fingerprint;

/// Names a certificate in a CRL: its issuer and serial number, as they are encoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CertificateId {
    issuer: Box<[u8]>,
    serial: Box<[u8]>,
}

impl CertificateId {
    pub(super) fn new(issuer: &[u8], serial: &[u8]) -> Self {
        CertificateId { issuer: issuer.into(), serial: serial.into() }
    }
}

/// Why a certificate names no machine.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAMachine {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Malformed,
    /// There must be exactly one common name.
    #[error("the certificate has {0} common names")]
    Names(usize),
    /// It is no machine name.
    #[error("the certificate's common name is no node name: {0}")]
    Name(NameError),
}

/// The holder of a client's certificate, to whom this server showed `server`.
pub(super) fn identify(
    certificate: &CertificateDer<'_>,
    server: ServerKey,
) -> Result<(Machine, CertificateId), NotAMachine> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| NotAMachine::Malformed)?;
    let names: Vec<_> = parsed.subject().iter_common_name().collect();
    let [name] = &*names else { return Err(NotAMachine::Names(names.len())) };
    let name = name.as_str().map_err(|_| NotAMachine::Malformed)?.parse().map_err(NotAMachine::Name)?;
    let machine =
        Machine { name, certificate: Fingerprint::of(certificate), serves: serves(parsed.subject()), server };
    Ok((machine, CertificateId::new(parsed.issuer().as_raw(), parsed.raw_serial())))
}

/// An organisational unit in the subject is the user whose certificate it is, as `3s-ca enroll` writes it.
fn serves(subject: &X509Name<'_>) -> Serves {
    let mut units = subject.iter_organizational_unit();
    match (units.next(), units.next()) {
        (None, _) => Serves::Anyone,
        (Some(unit), None) => {
            let uid = unit.as_str().ok().and_then(|text| text.parse().ok());
            uid.map_or(Serves::Nobody, Serves::Only)
        }
        (Some(_), Some(_)) => Serves::Nobody,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    fn served(units: &[DnValue]) -> Serves {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (n, unit) in units.iter().enumerate() {
            // A name of rcgen's holds each type once, so a second unit is written by its number.
            let unit_again = DnType::CustomDnType(vec![2, 5, 4, 11]);
            let kind = if n == 0 { DnType::OrganizationalUnitName } else { unit_again };
            params.distinguished_name.push(kind, unit.clone());
        }
        params.distinguished_name.push(DnType::CommonName, "client1");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        identify(certificate.der(), ServerKey::of(b"server")).unwrap().0.serves
    }

    #[test]
    fn a_certificate_with_a_unit_is_one_users() {
        let text = |text: &str| DnValue::Utf8String(text.into());
        assert_eq!(served(&[]), Serves::Anyone);
        assert_eq!(served(&[text("alice")]), Serves::Only("alice".parse().unwrap()));
        assert_eq!(
            served(&[DnValue::PrintableString("alice".try_into().unwrap())]),
            served(&[text("alice")])
        );
        for odd in ["", "ALL", "alice\0", "alice ", "Accounts & Legal"] {
            assert_eq!(served(&[text(odd)]), Serves::Nobody, "{odd:?}");
        }
        assert_eq!(served(&[DnValue::BmpString("alice".try_into().unwrap())]), Serves::Nobody);
        assert_eq!(served(&[text("alice"), text("bob")]), Serves::Nobody);
        assert_eq!(served(&[text("alice"), text("alice")]), Serves::Nobody);
    }
}
