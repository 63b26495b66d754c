//! A certificate that was read: what the other rooms want to know of it.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sss_common::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::files::{self, PEM_MAX};
use crate::index::Kind;
use crate::{Error, Serial};

/// A parsed certificate. Its text fields may come from strangers: see [`printable`].
#[derive(Clone, Debug)]
pub struct Cert {
    der: Vec<u8>,
    /// Its serial.
    pub serial: Serial,
    /// For whom it is.
    pub subject: String,
    /// The first organisational unit: where `3s-ca` writes the user's id.
    pub unit: Option<String>,
    /// Its end.
    pub not_after: Timestamp,
    /// What it is for.
    pub kind: Kind,
}

impl Cert {
    /// Reads the first certificate of a PEM file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = files::read(path, PEM_MAX)?;
        let not_one = || Error::NotACertificate(path.to_owned());
        let der = CertificateDer::from_pem_slice(&bytes).map_err(|_| not_one())?;
        Cert::from_der(&der).ok_or_else(not_one)
    }

    /// Parses a certificate; `None` when it is none.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let x509 = parse(der)?;
        Some(Cert {
            serial: Serial::from_bytes(x509.raw_serial()).ok()?,
            subject: x509.subject().to_string(),
            unit: text(x509.subject().iter_organizational_unit()),
            not_after: timestamp(x509.validity().not_after),
            kind: kind(&x509),
            der: der.to_vec(),
        })
    }

    /// The certificate's bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The public key as SubjectPublicKeyInfo.
    pub fn public_key(&self) -> Vec<u8> {
        parse(&self.der).map(|x509| x509.public_key().raw.to_vec()).unwrap_or_default()
    }

    /// Whether `issuer` is named in it and signed it.
    pub fn is_issued_by(&self, issuer: &Cert) -> bool {
        let (Some(this), Some(issuer)) = (parse(&self.der), parse(&issuer.der)) else { return false };
        this.issuer().as_raw() == issuer.subject().as_raw()
            && this.verify_signature(Some(issuer.public_key())).is_ok()
    }
}

/// The whole of `der` as a certificate.
pub fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], x509)) => Some(x509),
        _ => None,
    }
}

/// A certificate's time as ours.
pub fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp(time.timestamp().saturating_mul(1000))
}

/// `text` with what could steer a terminal written out.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let plain = (!c.is_control()).then_some(c);
            plain.into_iter().chain(c.is_control().then(|| c.escape_default()).into_iter().flatten())
        })
        .collect()
}

fn text<'a>(
    mut values: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>,
) -> Option<String> {
    values.next().and_then(|value| value.as_str().ok()).map(Into::into)
}

fn kind(x509: &X509Certificate<'_>) -> Kind {
    match x509.extended_key_usage() {
        Ok(Some(usage)) if usage.value.server_auth && !usage.value.client_auth => Kind::Server,
        Ok(Some(usage)) if usage.value.client_auth && !usage.value.server_auth => Kind::Client,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(printable("CN=a\u{1b}[2J\nö"), "CN=a\\u{1b}[2J\\nö");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Cert::from_der(&bytes).is_none());
        }
    }
}
