//! The certificate revocation list: reading the last one, signing the next.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, RevokedCertParams, SerialNumber, SigningKey,
};
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use sss_common::Timestamp;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::cert::{self, Cert};
use crate::files::{self, LIST_MAX};
use crate::profile::{asn1, backdated};
use crate::{Error, Serial};

/// How long a list is good for: the time until its `nextUpdate`.
pub const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    /// Grows by one with every list.
    pub number: u64,
    /// When verifiers expect the next one.
    pub next_update: Timestamp,
    /// Which certificates it revokes, and when that happened.
    pub revoked: Vec<(Serial, Timestamp)>,
}

impl Crl {
    /// The first list of a new CA: empty.
    pub fn first(now: Timestamp) -> Self {
        Crl { number: 1, next_update: now.after(LIFETIME), revoked: Vec::new() }
    }

    /// The list that follows this one, with `revoked` added. What a list once revoked stays revoked.
    pub fn next(&self, now: Timestamp, revoked: impl Iterator<Item = (Serial, Timestamp)>) -> Self {
        let mut listed: HashSet<Serial> = self.revoked.iter().map(|(serial, _)| serial.clone()).collect();
        let added = revoked.filter(|(serial, _)| listed.insert(serial.clone()));
        Crl {
            number: self.number.saturating_add(1),
            next_update: now.after(LIFETIME),
            revoked: self.revoked.iter().cloned().chain(added).collect(),
        }
    }

    /// Whether the certificate is on the list.
    pub fn revokes(&self, serial: &Serial) -> bool {
        self.revoked.iter().any(|(other, _)| other == serial)
    }

    /// Reads the list in a file. It must be signed by `ca`.
    pub fn read(path: &Path, ca: &Cert) -> Result<Self, Error> {
        if !files::exists(path) {
            return Err(Error::crl(path, "it is missing"));
        }
        let bytes = files::read(path, LIST_MAX)?;
        let damaged = || Error::crl(path, "it is no revocation list in PEM");
        let der = CertificateRevocationListDer::from_pem_slice(&bytes).map_err(|_| damaged())?;
        let list = parse(&der).ok_or_else(damaged)?;
        let issuer =
            cert::parse(ca.der()).ok_or_else(|| Error::crl(path, "the CA's certificate is damaged"))?;
        list.verify_signature(issuer.public_key())
            .map_err(|_| Error::crl(path, "it was not signed by this certificate authority"))?;
        Crl::from_parsed(&list).ok_or_else(damaged)
    }

    fn from_parsed(list: &CertificateRevocationList<'_>) -> Option<Self> {
        let number = list.crl_number()?.to_u64_digits();
        let revoked = list.iter_revoked_certificates().map(|entry| {
            Some((Serial::from_bytes(entry.raw_serial()).ok()?, cert::timestamp(entry.revocation_date)))
        });
        Some(Crl {
            number: match number[..] {
                [] => 0,
                [number] => number,
                _ => return None,
            },
            next_update: cert::timestamp(list.next_update()?),
            revoked: revoked.collect::<Option<_>>()?,
        })
    }

    /// Signs the list: PEM.
    pub fn sign(
        &self,
        issuer: &Issuer<'_, impl SigningKey>,
        key_id: Vec<u8>,
        now: Timestamp,
    ) -> Result<String, Error> {
        let revoked = self.revoked.iter().map(|(serial, at)| {
            Ok(RevokedCertParams {
                serial_number: serial.into(),
                revocation_time: asn1(*at)?.to_datetime(),
                reason_code: None,
                invalidity_date: None,
            })
        });
        let params = CertificateRevocationListParams {
            this_update: asn1(backdated(now))?.to_datetime(),
            next_update: asn1(self.next_update)?.to_datetime(),
            crl_number: SerialNumber::from(self.number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect::<Result<_, Error>>()?,
            key_identifier_method: KeyIdMethod::PreSpecified(key_id),
        };
        params.signed_by(issuer).and_then(|list| list.pem()).map_err(Error::signing)
    }
}

/// The whole of `der` as a revocation list.
pub fn parse(der: &[u8]) -> Option<CertificateRevocationList<'_>> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], list)) => Some(list),
        _ => None,
    }
}
