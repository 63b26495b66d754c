//! Who a certificate says its holder is. The chain was verified in the handshake.

use rustls_pki_types::CertificateDer;
use sss_common::login::ServerKey;
use sss_common::name::NameError;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::routes::Machine;
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
    let machine = Machine { name, certificate: Fingerprint::of(certificate), server };
    Ok((machine, CertificateId::new(parsed.issuer().as_raw(), parsed.raw_serial())))
}
